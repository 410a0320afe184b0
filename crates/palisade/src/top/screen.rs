//! What is drawn on a terminal.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState, Wrap};

use super::model::{Model, Tab};
use super::rows::{columns, detail, rows, summary};

const KEYS: &str = "q end  p pause  s sort  r reverse  / filter  tab rules  \u{2191}\u{2193} row";

/// Draws all of it.
pub fn draw(model: &Model, frame: &mut Frame<'_>) {
    let [top, said, table, looked_at, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(2),
        Constraint::Length(2),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let other = Style::new().add_modifier(Modifier::REVERSED);
    let tab = match model.tab {
        Tab::Flows => "connections",
        Tab::Rules => "rules",
    };
    let order = if model.reversed { ", reversed" } else { "" };
    let mut title = format!("palisade top: {tab} by {}{order}", model.sort.name());
    if model.typing || !model.filter.is_empty() {
        let cursor = if model.typing { "_" } else { "" };
        title += &format!(", with \"{}{cursor}\"", model.filter);
    }
    if model.paused {
        title += ", paused";
    }
    frame.render_widget(Line::styled(title, bold), top);
    frame.render_widget(Line::raw(summary(model)), said);
    let columns = columns(model.tab);
    let side = |right: bool| match right {
        true => Alignment::Right,
        false => Alignment::Left,
    };
    let cell = |text: String, right: bool| Cell::from(Text::from(text).alignment(side(right)));
    let header = columns.iter().map(|c| cell(c.name.into(), c.right));
    let lines = rows(model).into_iter().map(|texts| {
        let cells = texts.into_iter().zip(columns);
        Row::new(cells.map(|(text, c)| cell(text, c.right)))
    });
    let last = columns.len().saturating_sub(1);
    let widths = columns.iter().enumerate().map(|(n, c)| match n == last {
        true => Constraint::Min(c.width.min(10)),
        false => Constraint::Length(c.width),
    });
    let drawn = Table::new(lines, widths)
        .header(Row::new(header).style(bold))
        .row_highlight_style(other);
    let mut state = TableState::new().with_selected(Some(model.at));
    frame.render_stateful_widget(drawn, table, &mut state);
    let detail = Paragraph::new(detail(model)).wrap(Wrap { trim: true });
    frame.render_widget(detail, looked_at);
    frame.render_widget(Line::styled(KEYS, other), keys);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::model::Sort;
    use super::super::model::tests::frame;
    use super::*;

    fn check_screen(model: &Model, width: u16, lines: &[&str]) {
        let backend = TestBackend::new(width, lines.len() as u16);
        let mut terminal = Terminal::new(backend).expect("a terminal");
        terminal.draw(|f| draw(model, f)).expect("it draws");
        let buffer = terminal.backend().buffer();
        let drawn: Vec<String> = buffer
            .content()
            .chunks(width.into())
            .map(|row| {
                let text: String = row.iter().map(|c| c.symbol()).collect();
                text.trim_end().to_string()
            })
            .collect();
        assert_eq!(drawn, lines, "{drawn:#?}");
    }

    fn model(tab: Tab) -> Model {
        let mut model = Model::new(tab, Sort::Rate, String::new());
        model.take(frame());
        model
    }

    #[test]
    fn connections_are_drawn_with_the_row_that_is_looked_at_told_in_full() {
        check_screen(
            &model(Tab::Flows),
            150,
            &[
                "palisade top: connections by rate",
                "ACCEPT 1234   DROP 56   3 connections of 262144",
                "PROTO FROM                   TO                     STATE               AGE        LEFT   PACKETS      BYTES         RATE BY",
                "udp   203.0.113.2:40002      192.0.2.1:443          UNREPLIED           2 s   2 min 0 s        50   48.8 KiB   19.5 KiB/s ACCEPT filter INPUT rule 1",
                "tcp   203.0.113.1:40001      192.0.2.1:443          ESTABLISHED   1 h 6 min   2 min 0 s      9000    8.6 MiB    2.0 KiB/s ACCEPT filter INPUT rule 1",
                "tcp   203.0.113.3:40003      192.0.2.1:443          SYN_SENT     1 min 10 s   2 min 0 s         1     1000 B        0 B/s ACCEPT filter INPUT rule 1",
                "",
                "#2 udp 203.0.113.2:40002 to 192.0.2.1:443 mark 0: ACCEPT by filter INPUT rule 1: -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",
                "",
                "q end  p pause  s sort  r reverse  / filter  tab rules  ↑↓ row",
            ],
        );
    }

    #[test]
    fn rules_are_drawn_and_what_holds_is_told_above() {
        let mut model = model(Tab::Rules);
        model.paused = true;
        model.filter = "input".into();
        model.reversed = true;
        check_screen(
            &model,
            110,
            &[
                "palisade top: rules by rate, reversed, with \"input\", paused",
                "ACCEPT 1234   DROP 56   3 connections of 262144",
                "PLACE                        PACKETS      BYTES  PACKETS/S         RATE RULE",
                "filter INPUT 1                  9000    8.6 MiB         22   21.5 KiB/s -A INPUT -m conntrack --ctstate ESTABL",
                "filter INPUT policy               51   49.8 KiB         40   39.1 KiB/s",
                "filter INPUT 1: -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",
                "",
                "q end  p pause  s sort  r reverse  / filter  tab rules  ↑↓ row",
            ],
        );
    }

    #[test]
    fn a_terminal_of_any_size_is_drawn_on() {
        let model = model(Tab::Flows);
        for (width, height) in [(1, 1), (3, 2), (20, 5), (300, 80)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
            terminal.draw(|f| draw(&model, f)).expect("it draws");
        }
    }

    #[test]
    fn the_row_is_marked() {
        let model = model(Tab::Flows);
        let mut terminal = Terminal::new(TestBackend::new(60, 10)).expect("a terminal");
        terminal.draw(|f| draw(&model, f)).expect("it draws");
        let buffer = terminal.backend().buffer();
        let marked = |y| buffer[(0, y)].modifier.contains(Modifier::REVERSED);
        assert!(marked(3) && !marked(4));
    }
}

//! `palisade top`: the busiest connections and rules of a running palisade, again and again.
//!
//! What is known and asked for is [`model`], what a row says [`rows`]; [`screen`] draws it and [`plain`] writes it where
//! there is no terminal to draw on.

mod model;
mod plain;
mod rows;
mod screen;

use std::io::IsTerminal;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};
use palisade_live::control::message::{Answer, Request};
use palisade_live::control::top::Frame;
use palisade_live::control::{AskError, ask};
use ratatui::crossterm::event;

use crate::Exit;
use crate::control::SocketArgument;
use model::{Model, Next, Sort, Tab};

/// How long a key may wait for what comes from the socket.
const PATIENCE: Duration = Duration::from_millis(50);

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SortArgument {
    /// Bytes that came since the last look.
    Rate,
    /// Packets.
    Packets,
    /// Bytes.
    Bytes,
    /// Age of connections, the oldest first.
    Age,
    /// The rule.
    Rule,
}

/// `palisade top`.
#[derive(Debug, Args)]
pub struct TopArguments {
    #[command(flatten)]
    pub socket: SocketArgument,
    /// Seconds between two looks, 0.1 to 60.
    #[arg(long, short = 'd', value_name = "SECONDS", default_value = "1")]
    pub delay: f64,
    /// Look once, write a table and end.
    #[arg(long, conflicts_with = "looks")]
    pub once: bool,
    /// Look so many times, write a table each and end.
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub looks: Option<u32>,
    /// Write tables one after the other instead of drawing on the terminal; so it is where output is no terminal.
    #[arg(long)]
    pub plain: bool,
    /// Begin with the rules.
    #[arg(long)]
    pub rules: bool,
    /// Sort by.
    #[arg(long, value_enum, default_value = "rate")]
    pub sort: SortArgument,
    /// Only rows with this text in them.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub filter: String,
}

impl TopArguments {
    fn model(&self) -> Model {
        let tab = if self.rules { Tab::Rules } else { Tab::Flows };
        let sort = match self.sort {
            SortArgument::Rate => Sort::Rate,
            SortArgument::Packets => Sort::Packets,
            SortArgument::Bytes => Sort::Bytes,
            SortArgument::Age => Sort::Age,
            SortArgument::Rule => Sort::Rule,
        };
        Model::new(tab, sort, self.filter.clone())
    }

    /// Looks that are asked for: what moved is known from the second one on.
    fn frames(&self) -> u32 {
        let looks = if self.once { Some(1) } else { self.looks };
        looks.map_or(0, |n| n.saturating_add(1))
    }
}

/// `palisade top`.
pub fn run(arguments: &TopArguments) -> Result<Exit> {
    anyhow::ensure!(
        (0.1..=60.0).contains(&arguments.delay),
        "--delay {}: give 0.1 to 60 seconds",
        arguments.delay
    );
    let frames = frames(arguments)?;
    let drawn = !arguments.plain
        && arguments.frames() == 0
        && std::io::stdout().is_terminal()
        && std::io::stdin().is_terminal()
        && std::env::var_os("TERM").is_some_and(|term| term != "dumb" && !term.is_empty());
    let mut model = arguments.model();
    if drawn {
        on_screen(&mut model, &frames)
    } else {
        plain::write(&mut model, &frames)
    }
}

/// What comes over the socket, or why nothing more comes.
type Frames = Receiver<Result<Box<Frame>>>;

fn frames(arguments: &TopArguments) -> Result<Frames> {
    let request = Request::Top {
        interval_ms: (arguments.delay * 1_000.0) as u32,
        frames: arguments.frames(),
    };
    let mut asked = ask(&arguments.socket.control, &request)?;
    let (sender, receiver) = channel();
    std::thread::Builder::new()
        .name("frames".into())
        .spawn(move || {
            let ended = asked.each(|answer| {
                let sent = match answer {
                    Answer::Top(frame) => sender.send(Ok(frame)),
                    Answer::Said(text) => sender.send(Err(anyhow::anyhow!(text))),
                    _ => Ok(()),
                };
                // Nobody listens any more: the program ends.
                drop(sent);
                Ok::<(), AskError>(())
            });
            if let Err(error) = ended {
                let _ = sender.send(Err(error.into()));
            }
        })?;
    Ok(receiver)
}

/// Draws until a key ends it. The terminal is given back in whatever way it ends.
fn on_screen(model: &mut Model, frames: &Frames) -> Result<Exit> {
    let mut terminal = ratatui::try_init()?;
    let mut drawing = || -> Result<Exit> {
        loop {
            match frames.recv_timeout(PATIENCE) {
                Ok(frame) => model.take(*frame?),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    anyhow::bail!("palisade has ended");
                }
            }
            while let Ok(frame) = frames.try_recv() {
                model.take(*frame?);
            }
            while event::poll(Duration::ZERO)? {
                if let event::Event::Key(key) = event::read()?
                    && key.kind != event::KeyEventKind::Release
                    && model.key(key) == Next::End
                {
                    return Ok(Exit::Yes);
                }
            }
            terminal.draw(|frame| screen::draw(model, frame))?;
        }
    };
    let ended = drawing();
    ratatui::restore();
    ended
}

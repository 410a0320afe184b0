//! Colour and closed pipes.

use std::io::{self, IsTerminal};

use anstyle::{AnsiColor, Style};

use crate::args::Color;

/// Paints text, or does not.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// For standard output.
    pub fn stdout(color: Color) -> Self {
        Paint {
            on: wanted(color, io::stdout().is_terminal()),
        }
    }

    /// For standard error.
    pub fn stderr(color: Color) -> Self {
        Paint {
            on: wanted(color, io::stderr().is_terminal()),
        }
    }

    /// Text in a colour.
    pub fn color(self, color: AnsiColor, text: &str) -> String {
        self.style(Style::new().fg_color(Some(color.into())), text)
    }

    /// Text in bold colour.
    pub fn bold(self, color: AnsiColor, text: &str) -> String {
        self.style(Style::new().fg_color(Some(color.into())).bold(), text)
    }

    /// Text that stands back.
    pub fn dim(self, text: &str) -> String {
        self.style(Style::new().dimmed(), text)
    }

    fn style(self, style: Style, text: &str) -> String {
        if self.on && !text.trim().is_empty() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_string()
        }
    }
}

fn wanted(color: Color, terminal: bool) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
    }
}

/// Whether an error is a reader that went away: no error for us.
pub fn closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}

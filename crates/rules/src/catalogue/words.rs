//! The options of an extension that is kept word for word.

use super::read::Loaded;
use super::write::{Out, as_word};

/// Options as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

impl Words {
    pub(crate) fn of(loaded: &Loaded) -> Self {
        let mut words = Vec::new();
        for given in &loaded.given {
            if given.negated {
                words.push("!".to_string());
            }
            words.push(format!("--{}", given.option.name));
            words.extend(given.values.iter().map(|v| v.text.clone()));
        }
        Words(words)
    }

    pub(crate) fn write(&self, out: &mut Out) {
        for word in &self.0 {
            out.word(as_word(word));
        }
    }
}

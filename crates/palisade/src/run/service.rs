//! What is known of the running service beyond its gate: told by the metrics and to whoever asks for its state.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use palisade_live::control::Control;
use palisade_live::worker::Pulse;
use palisade_live::{Figures, Gate};

use super::boot::BootPolicy;
use super::log::Messages;
use super::rule_log::Counts;
use super::state::Store;

/// The service.
pub struct Service {
    /// Who decides.
    pub gate: Arc<Gate>,
    /// What the backend counts beside verdicts.
    pub figures: Option<Figures>,
    /// When it began.
    pub began: SystemTime,
    /// The backend's name.
    pub backend: &'static str,
    /// What stood in for the rules at the start.
    pub policy: Option<BootPolicy>,
    /// By which rules are changed.
    pub control: Option<Arc<Control>>,
    /// The workers' pulses.
    pub pulses: Vec<Arc<Pulse>>,
    /// Messages of the service itself.
    pub messages: Messages,
    /// Reloads by a signal that left the old rules in place.
    pub refused: AtomicU64,
    /// What becomes of what rules log.
    pub logged: Option<Counts>,
    /// The file of connections.
    pub state: Option<Store>,
}

impl Service {
    /// A service that nothing more is known of.
    pub fn new(gate: Arc<Gate>) -> Self {
        Service {
            gate,
            figures: None,
            began: SystemTime::now(),
            backend: "none",
            policy: None,
            control: None,
            pulses: Vec::new(),
            messages: Messages::default(),
            refused: AtomicU64::new(0),
            logged: None,
            state: None,
        }
    }

    /// Changes of the rules so far.
    pub fn changes(&self) -> u64 {
        self.control
            .as_ref()
            .map_or(0, |control| control.generation())
    }

    /// What stands in for the rules, until they are changed.
    pub fn standing_in(&self) -> Option<BootPolicy> {
        self.policy.filter(|_| self.changes() == 0)
    }

    /// Saves connections, if they are to be saved.
    pub fn save(&self) {
        let Some(state) = &self.state else { return };
        if let Err(error) = state.save(&self.gate) {
            let path = state.path().display();
            tracing::error!(%error, %path, "connections were not saved");
        }
    }
}

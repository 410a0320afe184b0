//! What is known of the running service beyond its gate: told by the metrics and to whoever asks for its state.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use palisade_live::worker::Pulse;
use palisade_live::{Figures, Gate};

use super::boot::BootPolicy;
use super::log::Messages;

/// The service.
#[derive(Debug)]
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
    /// Rules came into force since.
    pub replaced: AtomicBool,
    /// The workers' pulses.
    pub pulses: Vec<Arc<Pulse>>,
    /// Messages of the service itself.
    pub messages: Messages,
    /// Reloads so far.
    pub reloads: Reloads,
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
            replaced: AtomicBool::new(false),
            pulses: Vec::new(),
            messages: Messages::default(),
            reloads: Reloads::default(),
        }
    }

    /// What stands in for the rules.
    pub fn standing_in(&self) -> Option<BootPolicy> {
        self.policy
            .filter(|_| !self.replaced.load(Ordering::Relaxed))
    }
}

/// Reloads so far.
#[derive(Debug, Default)]
pub struct Reloads {
    /// The new rules are in force.
    pub done: AtomicU64,
    /// The old ones stay.
    pub refused: AtomicU64,
}

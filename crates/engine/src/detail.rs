//! What is told of few packets, so that the others do not pay for it.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

use crate::outcome::Outcome;

/// An [`Outcome`], or none, as of most packets. It is an `Option` in all but this: that there is nothing to be dropped is
/// seen where it is dropped, and not in a function that is called for every packet.
#[derive(Default)]
pub struct Detail(ManuallyDrop<Option<Box<Outcome>>>);

impl Detail {
    /// None.
    pub const NONE: Detail = Detail(ManuallyDrop::new(None));
}

impl Drop for Detail {
    #[inline(always)]
    fn drop(&mut self) {
        if self.0.is_some() {
            dropped(self);
        }
    }
}

/// Leaves nothing behind.
#[cold]
#[inline(never)]
fn dropped(detail: &mut Detail) {
    detail.0.take();
}

impl Deref for Detail {
    type Target = Option<Box<Outcome>>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Detail {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl From<Box<Outcome>> for Detail {
    fn from(outcome: Box<Outcome>) -> Self {
        Detail(ManuallyDrop::new(Some(outcome)))
    }
}

impl fmt::Debug for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

//! `-m time`.

use super::prelude::*;
use crate::catalogue::words::Words;

/// `-m time`: the time of day, the day, the date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Time(pub Words);

impl Spec for Time {
    const ROW: Extension = Extension::new(
        "time",
        Families::Both,
        "The time of day, the day, the date.",
    )
    .options(&[
        opt("datestart", "value", "").not().many(),
        opt("datestop", "value", "").not().many(),
        opt("timestart", "value", "").not().many(),
        opt("timestop", "value", "").not().many(),
        opt("monthdays", "value", "").not().many(),
        opt("weekdays", "value", "").not().many(),
        flag("kerneltz", "").not().many(),
        flag("utc", "").not().many(),
        flag("localtz", "").not().many(),
        flag("contiguous", "").not().many(),
    ])
    .kept("its evaluation is not written yet");

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Ok(Time(Words::of(loaded)))
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out);
    }
}

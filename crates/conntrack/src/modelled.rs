//! The counts of several tables, tried in every order in which threads can meet.

mod sync {
    pub(super) use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
}

#[path = "tally.rs"]
mod tally;

use loom::sync::Arc;
use loom::thread;
use tally::Tally;

#[test]
fn there_are_never_more_than_the_most() {
    loom::model(|| {
        let tally = Arc::new(Tally::new());
        assert!(tally.enter(2));
        let other = {
            let tally = Arc::clone(&tally);
            thread::spawn(move || {
                let entered = tally.enter(2);
                assert!(tally.live() <= 2);
                if entered {
                    tally.leave();
                }
                (entered, tally.enter(2))
            })
        };
        let own = tally.enter(2);
        assert!(tally.live() <= 2);
        let (first, second) = other.join().expect("no panic");
        let left = 1 + usize::from(own) + usize::from(second);
        assert_eq!(tally.live(), left);
        assert!(left <= 2 && tally.peak() == 2);
        // Two places, and one of them was taken: somebody got the other one.
        assert!(own || first || second);
        assert!(tally.enter(0));
    });
}

#[test]
fn no_number_is_given_twice() {
    loom::model(|| {
        let tally = Arc::new(Tally::new());
        let other = {
            let tally = Arc::clone(&tally);
            thread::spawn(move || tally.number())
        };
        let own = tally.number();
        let other = other.join().expect("no panic");
        assert_eq!([own.min(other), own.max(other)], [1, 2]);
        assert_eq!(tally.number(), 3);
    });
}

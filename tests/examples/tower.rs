//! Layers around a pool: who is served, refused and late.

use std::collections::BTreeSet;

use crate::ground::{BACKENDS, example, explains, printed, refuses};

/// The numbers of the requests whose line has this in it.
fn requests(text: &str, what: &str) -> BTreeSet<u32> {
    let lines = text.lines().filter(|line| line.contains(what));
    let number = |line: &str| line.strip_prefix("request ")?.split(':').next()?.parse().ok();
    lines.filter_map(number).collect()
}

#[test]
fn every_request_is_served_refused_or_late() {
    // Work that is done within the deadline on a slow machine, too; but for the one request that never is.
    let arguments = ["--requests", "40", "--work", "200", "--deadline", "5000", "--max-pending", "3"];
    let text = printed(example("tower").args(arguments));
    let (done, refused) = (requests(&text, "done in 200 ms"), requests(&text, "service overloaded"));
    let late = requests(&text, "request timed out");
    assert_eq!(done.len() + refused.len() + late.len(), 40, "{text}");
    assert!(late.iter().all(|number| number % 5 == 0), "{text}");
    // The queue has room for the first three at least, and not for all.
    assert!([1, 2, 3].iter().all(|number| done.contains(number)) && !refused.is_empty(), "{text}");
    let sums = format!("answered: {}, refused: {}, late: {}\n", done.len(), refused.len(), late.len());
    assert!(text.ends_with(&sums), "{text}");
}

#[test]
fn with_room_for_all_none_is_refused_and_what_never_ends_is_stopped() {
    for backend in BACKENDS.iter().filter(|backend| ["threads", "processes"].contains(backend)) {
        let arguments =
            ["--requests", "5", "--work", "1", "--max-pending", "5", "--parallel-backend", backend];
        let text = printed(example("tower").args(arguments));
        assert!(text.ends_with("answered: 4, refused: 0, late: 1\n"), "{backend}: {text}");
    }
}

#[test]
fn it_explains_itself_and_refuses_nonsense() {
    explains("tower", &["--requests", "--work", "--deadline", "--max-pending", "--parallel-backend", "-n"]);
    refuses("tower", &["--max-pending", "0"], "tower: max_pending is 0");
    refuses("tower", &["--parallel-backend", "crane"], "tower: unknown backend `crane`");
}

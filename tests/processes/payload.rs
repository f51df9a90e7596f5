//! Payloads that are too large for every backend's suite: one place for each of the ways that they take.

use futures::future::join_all;
use polypool::{Executor, Processes};

use crate::ground::{goes_on, pool, pool_of, run};
use crate::proc::listing;
use crate::tasks::{bytes, echo};

const HUGE: usize = 64 << 20;

async fn there_and_back(pool: &Executor, size: usize) {
    let result = pool.submit(echo::<Vec<u8>>, bytes(size)).await.unwrap();
    assert!(result == bytes(size), "{size} bytes came back as {}", result.len());
}

#[test]
fn sixty_four_mebibytes_there_and_back() {
    run(async {
        let pool = pool(1);
        there_and_back(&pool, HUGE).await;
        there_and_back(&pool, 10).await;
        goes_on(&pool).await;
    });
}

#[test]
fn sixty_four_mebibytes_of_text() {
    run(async {
        let pool = pool(1);
        let text = "äöü ✓ ".repeat(HUGE / 11);
        let length = |text: String| text.len();
        assert_eq!(pool.submit(length, text.clone()).await.unwrap(), text.len());
        let repeat = |n: usize| "äöü ✓ ".repeat(n);
        assert!(pool.submit(repeat, HUGE / 11).await.unwrap() == text);
    });
}

#[test]
fn several_huge_ones_at_once() {
    run(async {
        let pool = pool(3);
        join_all((0..6).map(|n| there_and_back(&pool, (8 << 20) + n))).await;
    });
}

/// Sizes around everything that has a size: rings, frames, pages, arenas.
#[test]
fn sizes_next_to_powers_of_two() {
    run(async {
        let pool = pool(2);
        for power in 0..=22 {
            let size = 1_usize << power;
            let sizes = [size.saturating_sub(17), size - 1, size, size + 1, size + 17];
            join_all(sizes.map(|size| there_and_back(&pool, size))).await;
        }
    });
}

#[test]
fn huge_ones_among_thousands_of_small_ones() {
    run(async {
        let pool = pool(2);
        let size = |n: usize| if n.is_multiple_of(500) { 5 << 20 } else { n % 100 };
        let tasks: Vec<_> = (0..3_000).map(|n| pool.submit(echo::<Vec<u8>>, bytes(size(n)))).collect();
        for (n, result) in join_all(tasks).await.into_iter().enumerate() {
            assert!(result.unwrap() == bytes(size(n)), "{n}");
        }
    });
}

#[test]
fn worker_that_dies_with_a_huge_argument() {
    run(async {
        let pool = pool(1);
        let dying = |bytes: Vec<u8>| if bytes.is_empty() { 0 } else { std::process::abort() };
        for _ in 0..10 {
            assert!(pool.submit(dying, bytes(4 << 20)).await.unwrap_err().is_worker_lost());
        }
        there_and_back(&pool, 4 << 20).await;
    });
}

#[test]
fn cancelled_with_a_huge_argument() {
    run(async {
        let (pool, gate) = (pool(1), crate::gate::Gate::new());
        let holding = |(bytes, gate): (Vec<u8>, crate::gate::Gate)| {
            gate.pass_blocking();
            bytes
        };
        for n in 1..=5 {
            let task = pool.submit(holding, (bytes(4 << 20), gate));
            gate.wait_arrivals(n).await;
            assert!(task.cancel().await.is_none());
        }
        there_and_back(&pool, 4 << 20).await;
    });
}

#[test]
fn nothing_of_them_has_a_name() {
    run(async {
        let before = listing("/dev/shm");
        let pool = pool_of(Processes::new(), 2);
        there_and_back(&pool, 4 << 20).await;
        let named: Vec<_> = listing("/dev/shm").difference(&before).cloned().collect();
        assert!(named.iter().all(|name| !name.contains("polypool")), "{named:?}");
    });
}

//! Explores the models of `src/models`, one test for each: `.ci/loom`.
#![cfg(polypool_loom)]

use polypool::__models as models;

macro_rules! explore {
    ($($room:ident: $($model:ident)+;)+) => {$(
        mod $room {
            $(#[test] fn $model() { super::models::$room::$model(); })+
        }
    )+};
}

explore! {
    cell: a_task_is_begun_or_withdrawn a_running_task_ends_once;
    remote: a_call_is_taken_or_withdrawn a_call_that_is_called_back_is_in_one_place;
    queue: what_is_pushed_is_popped_once_and_in_order the_urgent_goes_first a_task_is_let_in_or_refused a_sweep_keeps_what_lives;
    room: a_place_is_given_or_free;
    rings: calls_arrive_and_wake_a_sleeping_worker replies_ring_the_bell_of_a_pool_that_waits;
    pool: two_submitters_and_a_worker who_is_woken_wakes_the_next a_task_is_cancelled_while_a_worker_comes
        a_submit_meets_a_shutdown a_policy_meets_a_beginning;
}

//! A graph that runs: which tasks are ready, under way and over. Owns what follows from the end of a task. Whose turn it is to
//! drive it is `shared`'s.

use std::{
    any::Any,
    collections::BinaryHeap,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{StreamExt, stream::FuturesUnordered};

use super::{
    TaskGraph,
    flight::{CopyValue, Landed, Launch, Site, UnderWay},
    inputs::Results,
    plan::{Plan, Rank},
    report::{NodeReport, Outcome},
    shared::Told,
};
use crate::{
    backend::room::Entering,
    error::{PanicInfo, TaskError},
    executor::Executor,
    policy::CancellationPolicy,
    task::{
        TaskOptions,
        catch::{catch, discard},
    },
};

pub(super) struct Driver {
    pool: Executor,
    /// Tasks run in the polls of those who wait for them.
    in_polls: bool,
    plan: Plan,
    nodes: Vec<Waiting>,
    results: Results,
    ready: BinaryHeap<Rank>,
    under_way: FuturesUnordered<UnderWay>,
    /// The wait for a place in the pool's queue.
    entering: Option<Entering>,
    failures_left: Option<usize>,
    /// How many tasks were not reported.
    left: usize,
    /// What the caller was doing, as far as tracing knows.
    span: tracing::Span,
}

/// A task and what it waits for.
struct Waiting {
    /// None when it is reported.
    name: Option<String>,
    /// How many tasks it waits for.
    waits_for: usize,
    inputs: Vec<usize>,
    /// None when it is under way or over.
    launch: Option<Launch>,
    options: TaskOptions,
    has_output: bool,
    keep: Option<CopyValue>,
}

impl Driver {
    pub(super) fn new(tasks: TaskGraph, plan: Plan, pool: Executor) -> Self {
        let TaskGraph { entries, max_failures, capture_output, .. } = tasks;
        let waits_for = plan.waits_for();
        let inputs = entries.iter().flat_map(|entry| &entry.inputs).map(|key| key.node);
        let results = Results::new(entries.len(), inputs);
        let ready = (0..entries.len()).filter(|&node| waits_for[node] == 0);
        let ready = ready.map(|node| plan.rank(node)).collect();
        let waiting = entries.into_iter().zip(waits_for).map(|(entry, waits_for)| {
            let mut options = entry.options;
            options.capture_output.get_or_insert(capture_output);
            Waiting {
                name: Some(entry.name),
                waits_for,
                inputs: entry.inputs.into_iter().map(|key| key.node).collect(),
                launch: Some(entry.launch),
                options,
                has_output: entry.has_output,
                keep: entry.keep.filter(|_| entry.has_output),
            }
        });
        let nodes: Vec<_> = waiting.collect();
        Self {
            in_polls: pool.pool().runs_in_polls(),
            pool,
            plan,
            left: nodes.len(),
            nodes,
            results,
            ready,
            under_way: FuturesUnordered::new(),
            entering: None,
            failures_left: max_failures,
            span: tracing::Span::current(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Does what can be done now, until a task ends. False when none has.
    pub(super) fn step(&mut self, told: &Told, cx: &mut Context<'_>) -> bool {
        if let Some(policy) = told.take_order() {
            self.stop(policy, told);
        }
        self.launch(told, cx);
        let Poll::Ready(Some((node, landed))) = self.under_way.poll_next_unpin(cx) else {
            return false;
        };
        self.landed(node, landed, told);
        true
    }

    /// Brings into the pool what is ready, as long as there are workers for it and room in the queue.
    fn launch(&mut self, told: &Told, cx: &mut Context<'_>) {
        while !self.ready.is_empty() && self.under_way.len() < self.pool.max_workers() {
            let room = || Entering::new(Arc::clone(self.pool.pool().room()), None);
            let entering = self.entering.get_or_insert_with(room);
            if Pin::new(entering).poll(cx).is_pending() {
                return;
            }
            self.entering = None;
            let node = self.ready.pop().map(Rank::node);
            let launch = node.and_then(|node| Some((node, self.nodes[node].launch.take()?)));
            let Some((node, launch)) = launch else {
                self.pool.pool().room().leave();
                continue;
            };
            let waiting = &mut self.nodes[node];
            let goes_on = self.results.is_wanted(node);
            let mut options = mem::take(&mut waiting.options);
            options.name = options.name.or_else(|| waiting.name.as_deref().map(Into::into));
            let site = Site {
                pool: &self.pool,
                options,
                results: &mut self.results,
                is_wanted: goes_on || waiting.has_output,
                keep: waiting.keep.filter(|_| goes_on),
            };
            told.launched();
            let mut launched = Ok(None);
            // Whoever listens to tracing is foreign code. If it panics on the way out, the task is in the pool all the same.
            let entered = catch(|| self.span.in_scope(|| launched = launch(site).map(Some)));
            if let (Ok(None), Err(panic)) = (&launched, entered) {
                launched = Err(TaskError::Panicked(panic));
            }
            match launched {
                Ok(flight) => {
                    let alone = !self.in_polls;
                    self.under_way.extend(flight.map(|flight| UnderWay {
                        node,
                        alone,
                        flight: Some(flight),
                    }));
                }
                Err(error) => {
                    self.pool.pool().room().leave();
                    self.landed(node, error.into(), told);
                }
            }
        }
    }

    /// A task is back, and what follows from that.
    fn landed(&mut self, node: usize, landed: Landed, told: &Told) {
        let Landed { report, value, kept } = landed;
        let reason = report.result.as_ref().err().cloned();
        let outcome = report.outcome.clone();
        if let Some(value) = value {
            if self.results.is_wanted(node) {
                self.results.put(node, value);
                kept.into_iter().for_each(|copy| told.keep(node, copy));
            } else {
                self.keep(node, value, told);
                discard(kept);
            }
        }
        let name = self.report(node, report, true, told);
        let Some(reason) = reason else {
            for next in self.plan.next(node) {
                let waiting = &mut self.nodes[next];
                waiting.waits_for -= 1;
                if waiting.waits_for == 0 && waiting.launch.is_some() {
                    self.ready.push(self.plan.rank(next));
                }
            }
            return;
        };
        if reason.is_refused() {
            self.give_up(&Outcome::Cancelled, &reason, told);
            return;
        }
        self.skip_after(node, &name, told);
        if outcome == Outcome::Failed
            && let Some(left) = &mut self.failures_left
        {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.give_up(&Outcome::Abandoned, &TaskError::Cancelled, told);
            }
        }
    }

    /// A result that no task takes is the user's, if he has the key to it.
    fn keep(&self, node: usize, value: Box<dyn Any + Send>, told: &Told) {
        if self.nodes[node].has_output {
            told.keep(node, value);
        } else {
            discard(value);
        }
    }

    /// Reports a task, once and for all, and gives its name.
    fn report(&mut self, node: usize, report: NodeReport, was_started: bool, told: &Told) -> String {
        self.left -= 1;
        let name = self.nodes[node].name.take().unwrap_or_default();
        told.report(name.clone(), report, was_started);
        name
    }

    /// Reports all that comes after a task which did not get done.
    fn skip_after(&mut self, node: usize, name: &str, told: &Told) {
        let mut failed = vec![node];
        while let Some(node) = failed.pop() {
            let after: Vec<_> = self.plan.next(node).collect();
            for next in after {
                let outcome = Outcome::Skipped { because: name.to_owned() };
                if self.skip(next, outcome, TaskError::Cancelled, told) {
                    failed.push(next);
                }
            }
        }
    }

    /// Reports all that was not started.
    fn give_up(&mut self, outcome: &Outcome, reason: &TaskError, told: &Told) {
        self.ready.clear();
        self.entering = None;
        for node in 0..self.nodes.len() {
            self.skip(node, outcome.clone(), reason.clone(), told);
        }
    }

    /// Reports all that is left, because something here has panicked that must not. Nobody knows in what state it left the rest.
    pub(super) fn break_off(&mut self, panic: &PanicInfo, told: &Told) {
        let reason = TaskError::Broken(format!("what drives its graph has panicked: {panic}"));
        self.give_up(&Outcome::Cancelled, &reason, told);
        for node in 0..self.nodes.len() {
            if self.nodes[node].name.is_some() {
                self.report(node, NodeReport::never_started(Outcome::Failed, reason.clone()), true, told);
            }
        }
    }

    /// Reports a task that will not be started. False when it was, or is over.
    fn skip(&mut self, node: usize, outcome: Outcome, reason: TaskError, told: &Told) -> bool {
        let Some(launch) = self.nodes[node].launch.take() else {
            return false;
        };
        discard(launch);
        for input in mem::take(&mut self.nodes[node].inputs) {
            if let Some(value) = self.results.forgo(input) {
                self.keep(input, value, told);
            }
        }
        self.report(node, NodeReport::never_started(outcome, reason), false, told);
        true
    }

    /// Applies a policy to what is left of the graph.
    pub(super) fn stop(&mut self, policy: CancellationPolicy, told: &Told) {
        // What waits goes first: a worker that is stopped takes the next task, and that would be one that ran before.
        for policy in [policy & CancellationPolicy::PENDING, policy & CancellationPolicy::RUNNING] {
            if !policy.is_empty() {
                self.under_way.iter().for_each(|under_way| under_way.apply(policy));
            }
            if policy.contains(CancellationPolicy::PENDING) {
                self.give_up(&Outcome::Cancelled, &TaskError::Cancelled, told);
            }
        }
    }
}

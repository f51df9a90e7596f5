//! The results of tasks as arguments of others. Owns the keys to results, and for how long a result is held.

use std::{any::Any, fmt, marker::PhantomData};

use crate::{error::TaskError, function::Portable};

/// The key to the result of a task; from [`Node::output`](super::Node::output). It is an argument of other tasks of the same graph
/// ([`Inputs`]), and what [`GraphRun::take_output`](super::GraphRun::take_output) takes. Dropping it does nothing.
///
/// # Examples
/// See [`TaskGraph::task_from`](super::TaskGraph::task_from).
pub struct Output<R> {
    key: Key,
    result: PhantomData<fn() -> R>,
}

/// An output whose type is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub(super) graph: u64,
    pub(super) node: usize,
}

impl<R> Output<R> {
    pub(super) fn new(graph: u64, node: usize) -> Self {
        Self { key: Key { graph, node }, result: PhantomData }
    }

    pub(super) fn key(self) -> Key {
        self.key
    }
}

impl<R> Clone for Output<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Output<R> {}

impl<R> fmt::Debug for Output<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("task", &self.key.node).finish_non_exhaustive()
    }
}

/// An argument that is made of results of other tasks: an [`Output`], a [`value`] that is there already, tuples of these of up to
/// eight, vectors of them, and any of these in each other. The function gets the results in the same shape.
///
/// A result that several tasks take is cloned for all but the last, which gets it as it is. So it must be [`Clone`]. Where tasks
/// leave this process, it comes back to it between one task and the next.
///
/// # Examples
/// ```
/// use polypool::{Executor, graph::{TaskGraph, value}};
///
/// # futures::executor::block_on(async {
/// let mut graph = TaskGraph::new();
/// let parts: Vec<_> = (0..4).map(|n| graph.task(format!("part {n}"), |n: u64| n * n, n).output()).collect();
/// let total = graph.task_from(
///     "total",
///     |(parts, unit): (Vec<u64>, String)| format!("{} {unit}", parts.iter().sum::<u64>()),
///     (parts, value("m".to_owned())),
/// );
/// let total = total.output();
/// let mut run = graph.run(&Executor::threads(2)?)?;
/// run.finish().await;
/// assert_eq!(run.take_output(total).as_deref(), Some("14 m"));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
/// Where the types do not fit, it does not compile:
/// ```compile_fail
/// let mut graph = polypool::graph::TaskGraph::new();
/// let text = graph.task("text", |()| String::new(), ()).output();
/// graph.task_from("number", |n: u32| n + 1, text);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the argument of a task in a graph",
    label = "neither an output, nor a `value(..)`, nor a tuple or vector of these",
    note = "the result behind an `Output` must be `Clone` to be another task's argument; a plain argument is `value(argument)`"
)]
pub trait Inputs: Send + 'static {
    /// What the function gets.
    type Value: Portable;

    #[doc(hidden)]
    fn keys(&self, to: &mut Vec<Key>);

    #[doc(hidden)]
    fn gather(self, from: &mut Results) -> Result<Self::Value, TaskError>;
}

impl<T: Portable + Clone> Inputs for Output<T> {
    type Value = T;

    fn keys(&self, to: &mut Vec<Key>) {
        to.push(self.key);
    }

    fn gather(self, from: &mut Results) -> Result<T, TaskError> {
        let missing = || TaskError::Broken("the result of an earlier task is gone".to_owned());
        from.hand_out(self.key.node).ok_or_else(missing)
    }
}

/// An argument that is there already; from [`value`].
///
/// # Examples
/// See [`Inputs`].
#[derive(Debug, Clone, Copy)]
pub struct Value<T>(T);

/// Makes a plain argument one of the [`Inputs`] of a task.
///
/// # Examples
/// ```
/// use polypool::graph::{TaskGraph, value};
///
/// let mut graph = TaskGraph::new();
/// let text = graph.task("text", |()| "polypool".to_owned(), ()).output();
/// graph.task_from("start", |(text, n): (String, usize)| text[..n].to_owned(), (text, value(4)));
/// ```
pub fn value<T: Portable>(value: T) -> Value<T> {
    Value(value)
}

impl<T: Portable> Inputs for Value<T> {
    type Value = T;

    fn keys(&self, _: &mut Vec<Key>) {}

    fn gather(self, _: &mut Results) -> Result<T, TaskError> {
        Ok(self.0)
    }
}

impl<I: Inputs> Inputs for Vec<I> {
    type Value = Vec<I::Value>;

    fn keys(&self, to: &mut Vec<Key>) {
        self.iter().for_each(|input| input.keys(to));
    }

    fn gather(self, from: &mut Results) -> Result<Self::Value, TaskError> {
        self.into_iter().map(|input| input.gather(from)).collect()
    }
}

macro_rules! tuples {
    ($($input:ident)+) => {
        impl<$($input: Inputs),+> Inputs for ($($input,)+) {
            type Value = ($($input::Value,)+);

            #[allow(non_snake_case, reason = "the values are named like their types")]
            fn keys(&self, to: &mut Vec<Key>) {
                let ($($input,)+) = self;
                $($input.keys(to);)+
            }

            #[allow(non_snake_case, reason = "the values are named like their types")]
            fn gather(self, from: &mut Results) -> Result<Self::Value, TaskError> {
                let ($($input,)+) = self;
                Ok(($($input.gather(from)?,)+))
            }
        }
    };
}

tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);

/// The results that other tasks wait for.
#[derive(Debug)]
pub struct Results(Vec<Slot>);

#[derive(Debug, Default)]
struct Slot {
    value: Option<Box<dyn Any + Send>>,
    /// How many times it is still to be handed out.
    uses: usize,
}

impl Results {
    pub(super) fn new(nodes: usize, inputs: impl Iterator<Item = usize>) -> Self {
        let mut slots: Vec<_> = std::iter::repeat_with(Slot::default).take(nodes).collect();
        inputs.for_each(|node| slots[node].uses += 1);
        Self(slots)
    }

    /// Does any task still wait for it?
    pub(super) fn is_wanted(&self, node: usize) -> bool {
        self.0[node].uses > 0
    }

    pub(super) fn put(&mut self, node: usize, value: Box<dyn Any + Send>) {
        self.0[node].value = Some(value);
    }

    /// One that was to take it will not run. Gives the result back when there is nobody left for it.
    pub(super) fn forgo(&mut self, node: usize) -> Option<Box<dyn Any + Send>> {
        let slot = &mut self.0[node];
        slot.uses = slot.uses.saturating_sub(1);
        if slot.uses == 0 { slot.value.take() } else { None }
    }

    fn hand_out<T: Clone + 'static>(&mut self, node: usize) -> Option<T> {
        let slot = &mut self.0[node];
        if slot.uses > 1 {
            let copy = slot.value.as_ref()?.downcast_ref::<T>()?.clone();
            slot.uses -= 1;
            return Some(copy);
        }
        slot.uses = 0;
        Some(*slot.value.take()?.downcast::<T>().ok()?)
    }
}

//! The verbs that add a task to a graph: for a plain function or an `async fn`, with an argument or with the results of others,
//! with an `Err` that is a value or a failure.

use std::{fmt, future::Future};

use super::{
    TaskGraph,
    flight::{Launch, blocking, suspended},
    inputs::{Inputs, value},
    node::{Entry, Node},
};
use crate::{
    error::TaskError,
    function::{Portable, TaskFn, assert_captures_nothing},
    task::TaskOptions,
};

impl TaskGraph {
    /// Adds a task: `f(arg)`, under a name that no other task of the graph has. `f` is a `fn` item or a closure that captures
    /// nothing, as for [`Executor::submit`](crate::Executor::submit).
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let mut graph = polypool::graph::TaskGraph::new();
    /// let product = graph.task("product", |(a, b)| a * b, (6_u32, 7)).output();
    /// let mut run = graph.run(&polypool::Executor::threads(1)?)?;
    /// run.finish().await;
    /// assert_eq!(run.take_output(product), Some(42));
    /// # Ok::<(), polypool::BuildError>(()) }).unwrap();
    /// ```
    pub fn task<F, A, R>(&mut self, name: impl Into<String>, f: F, arg: A) -> Node<'_, R>
    where
        F: Fn(A) -> R + TaskFn,
        A: Portable,
        R: Portable,
    {
        self.task_from(name, f, value(arg))
    }

    /// Adds a task whose argument is made of the results of others, after which it comes; see [`Inputs`].
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let mut graph = polypool::graph::TaskGraph::new();
    /// let left = graph.task("left", |n: u64| n + 1, 1).output();
    /// let right = graph.task("right", |s: String| s.len(), "abc".to_owned()).output();
    /// let both = graph.task_from("both", |(n, len)| n * len as u64, (left, right)).output();
    /// let mut run = graph.run(&polypool::Executor::threads(2)?)?;
    /// run.finish().await;
    /// assert_eq!(run.take_output(both), Some(6));
    /// # Ok::<(), polypool::BuildError>(()) }).unwrap();
    /// ```
    pub fn task_from<F, I, R>(&mut self, name: impl Into<String>, f: F, inputs: I) -> Node<'_, R>
    where
        F: Fn(I::Value) -> R + TaskFn,
        I: Inputs,
        R: Portable,
    {
        const { assert_captures_nothing::<F>() };
        self.add(name.into(), inputs, |inputs| blocking(f, inputs, Ok))
    }

    /// Adds a task that fails when it returns an `Err`, of which the report has the text
    /// ([`TaskError::Failed`]). Its result is the value in the `Ok`.
    ///
    /// # Examples
    /// ```
    /// # futures::executor::block_on(async {
    /// let mut graph = polypool::graph::TaskGraph::new();
    /// let port = graph.try_task("port", |text: String| text.parse::<u16>(), "eighty".to_owned()).output();
    /// graph.task_from("listen", |port: u16| println!("at {port}"), port);
    /// let summary = graph.run(&polypool::Executor::threads(1)?)?.finish().await;
    /// assert_eq!(summary.to_string(), "0 done, 1 failed, 1 skipped");
    /// # Ok::<(), polypool::BuildError>(()) }).unwrap();
    /// ```
    pub fn try_task<F, A, T, E>(&mut self, name: impl Into<String>, f: F, arg: A) -> Node<'_, T>
    where
        F: Fn(A) -> Result<T, E> + TaskFn,
        A: Portable,
        T: Portable,
        E: fmt::Display,
    {
        self.try_task_from(name, f, value(arg))
    }

    /// Adds a task whose argument is made of the results of others, and that fails when it returns an `Err`.
    ///
    /// # Examples
    /// ```
    /// let mut graph = polypool::graph::TaskGraph::new();
    /// let text = graph.task("text", |()| "80".to_owned(), ()).output();
    /// let port = graph.try_task_from("port", |text: String| text.parse::<u16>(), text).output();
    /// ```
    pub fn try_task_from<F, I, T, E>(&mut self, name: impl Into<String>, f: F, inputs: I) -> Node<'_, T>
    where
        F: Fn(I::Value) -> Result<T, E> + TaskFn,
        I: Inputs,
        T: Portable,
        E: fmt::Display,
    {
        const { assert_captures_nothing::<F>() };
        // The error's text is taken where the task runs: the error itself need not travel.
        let f = move |arg| f(arg).map_err(text);
        self.add(name.into(), inputs, |inputs| blocking(f, inputs, value_or_failure))
    }

    /// Adds an `async fn`, as [`task`](Self::task) does a function.
    ///
    /// # Examples
    /// ```
    /// let mut graph = polypool::graph::TaskGraph::new();
    /// graph.task_async("greet", async |name: String| println!("hello, {name}"), "you".to_owned());
    /// ```
    pub fn task_async<F, A, Fut>(&mut self, name: impl Into<String>, f: F, arg: A) -> Node<'_, Fut::Output>
    where
        F: Fn(A) -> Fut + TaskFn,
        A: Portable,
        Fut: Future + Send + 'static,
        Fut::Output: Portable,
    {
        self.task_from_async(name, f, value(arg))
    }

    /// Adds an `async fn` whose argument is made of the results of others.
    ///
    /// # Examples
    /// ```
    /// let mut graph = polypool::graph::TaskGraph::new();
    /// let name = graph.task("name", |()| "you".to_owned(), ()).output();
    /// graph.task_from_async("greet", async |name: String| println!("hello, {name}"), name);
    /// ```
    pub fn task_from_async<F, I, Fut>(
        &mut self,
        name: impl Into<String>,
        f: F,
        inputs: I,
    ) -> Node<'_, Fut::Output>
    where
        F: Fn(I::Value) -> Fut + TaskFn,
        I: Inputs,
        Fut: Future + Send + 'static,
        Fut::Output: Portable,
    {
        const { assert_captures_nothing::<F>() };
        self.add(name.into(), inputs, |inputs| suspended(f, inputs, Ok))
    }

    /// Adds an `async fn` that fails when it returns an `Err`, as [`try_task`](Self::try_task) does a function.
    ///
    /// # Examples
    /// ```
    /// let mut graph = polypool::graph::TaskGraph::new();
    /// graph.try_task_async("port", async |text: String| text.parse::<u16>(), "80".to_owned());
    /// ```
    pub fn try_task_async<F, A, Fut, T, E>(&mut self, name: impl Into<String>, f: F, arg: A) -> Node<'_, T>
    where
        F: Fn(A) -> Fut + TaskFn,
        A: Portable,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Portable,
        E: fmt::Display + 'static,
    {
        self.try_task_from_async(name, f, value(arg))
    }

    /// Adds an `async fn` whose argument is made of the results of others, and that fails when it returns an `Err`.
    ///
    /// # Examples
    /// ```
    /// let mut graph = polypool::graph::TaskGraph::new();
    /// let text = graph.task("text", |()| "80".to_owned(), ()).output();
    /// graph.try_task_from_async("port", async |text: String| text.parse::<u16>(), text);
    /// ```
    pub fn try_task_from_async<F, I, Fut, T, E>(
        &mut self,
        name: impl Into<String>,
        f: F,
        inputs: I,
    ) -> Node<'_, T>
    where
        F: Fn(I::Value) -> Fut + TaskFn,
        I: Inputs,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Portable,
        E: fmt::Display + 'static,
    {
        const { assert_captures_nothing::<F>() };
        let f = move |arg| {
            let made = f(arg);
            async move { made.await.map_err(text) }
        };
        self.add(name.into(), inputs, |inputs| suspended(f, inputs, value_or_failure))
    }

    fn add<I: Inputs, R>(
        &mut self,
        name: String,
        inputs: I,
        launch: impl FnOnce(I) -> Launch,
    ) -> Node<'_, R> {
        let mut keys = Vec::new();
        inputs.keys(&mut keys);
        let node = self.entries.len();
        self.entries.push(Entry {
            name,
            after: Vec::new(),
            inputs: keys,
            options: TaskOptions::new(),
            cost: 1,
            launch: launch(inputs),
            has_output: false,
            keep: None,
        });
        Node::new(self, node)
    }
}

/// With the causes, where the type tells them in its long form.
#[allow(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn text<E: fmt::Display>(error: E) -> String {
    format!("{error:#}")
}

fn value_or_failure<T>(result: Result<T, String>) -> Result<T, TaskError> {
    result.map_err(TaskError::Failed)
}

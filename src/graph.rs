//! A directed acyclic graph of named nodes whose edges carry reasons.
//!
//! Wraps petgraph so that order can reach output: nodes are numbered in insertion order, every walk is
//! deterministic. Knows nothing of resources, actions or time beyond a weight per node.

use std::collections::{BTreeMap, BinaryHeap};

use petgraph::Direction;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::EdgeRef;

/// A graph over keys `K`; an edge runs from a dependency to its dependent and carries reasons.
#[derive(Clone, Debug)]
pub struct Graph<K: Ord + Clone> {
    inner: StableDiGraph<K, Vec<String>>,
    index: BTreeMap<K, NodeIndex>,
}

/// A cycle, its members in order; the last depends on the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle<K>(pub Vec<K>);

impl<K: Ord + Clone> Default for Graph<K> {
    fn default() -> Self {
        Graph { inner: StableDiGraph::new(), index: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Graph<K> {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node unless it is there.
    pub fn add(&mut self, key: K) {
        self.node(key);
    }

    fn node(&mut self, key: K) -> NodeIndex {
        if let Some(&index) = self.index.get(&key) {
            return index;
        }
        let index = self.inner.add_node(key.clone());
        self.index.insert(key, index);
        index
    }

    /// Says that `dependent` needs `dependency`, and why. Nodes are added as needed; a second reason for
    /// the same edge is kept beside the first.
    pub fn depend(&mut self, dependent: K, dependency: K, reason: impl Into<String>) {
        let (from, to) = (self.node(dependency), self.node(dependent));
        let reason = reason.into();
        match self.inner.find_edge(from, to) {
            Some(edge) => {
                let reasons = &mut self.inner[edge];
                if !reasons.contains(&reason) {
                    reasons.push(reason);
                }
            }
            None => {
                self.inner.add_edge(from, to, vec![reason]);
            }
        }
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.inner.node_count()
    }

    /// The number of edges.
    pub fn edge_count(&self) -> usize {
        self.inner.edge_count()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.inner.node_count() == 0
    }

    /// Whether the node is there.
    pub fn contains(&self, key: &K) -> bool {
        self.index.contains_key(key)
    }

    /// All nodes, in insertion order.
    pub fn nodes(&self) -> impl Iterator<Item = &K> {
        self.inner.node_weights()
    }

    /// What `key` needs, directly, with the reasons.
    pub fn dependencies(&self, key: &K) -> Vec<(&K, &[String])> {
        self.neighbours(key, Direction::Incoming)
    }

    /// What needs `key`, directly, with the reasons.
    pub fn dependents(&self, key: &K) -> Vec<(&K, &[String])> {
        self.neighbours(key, Direction::Outgoing)
    }

    fn neighbours(&self, key: &K, direction: Direction) -> Vec<(&K, &[String])> {
        let Some(&index) = self.index.get(key) else { return Vec::new() };
        let mut found = self
            .inner
            .edges_directed(index, direction)
            .map(|edge| {
                let other = if direction == Direction::Incoming { edge.source() } else { edge.target() };
                (&self.inner[other], &edge.weight()[..])
            })
            .collect::<Vec<_>>();
        found.sort_by(|a, b| a.0.cmp(b.0));
        found
    }

    /// Every node after all that it needs; ties in key order, so that the result depends on the graph alone.
    ///
    /// # Errors
    /// One [`Cycle`] when there is any.
    pub fn order(&self) -> Result<Vec<K>, Cycle<K>> {
        let mut missing = BTreeMap::new();
        let mut ready = BinaryHeap::new();
        for (key, &index) in &self.index {
            let count = self.inner.edges_directed(index, Direction::Incoming).count();
            missing.insert(index, count);
            if count == 0 {
                ready.push(std::cmp::Reverse(key.clone()));
            }
        }
        let mut order = Vec::with_capacity(self.len());
        while let Some(std::cmp::Reverse(key)) = ready.pop() {
            let index = self.index[&key];
            for edge in self.inner.edges_directed(index, Direction::Outgoing) {
                if let Some(count) = missing.get_mut(&edge.target()) {
                    *count -= 1;
                    if *count == 0 {
                        ready.push(std::cmp::Reverse(self.inner[edge.target()].clone()));
                    }
                }
            }
            order.push(key);
        }
        if order.len() == self.len() { Ok(order) } else { Err(self.cycle()) }
    }

    /// A shortest cycle through the smallest member of some strongly connected component.
    fn cycle(&self) -> Cycle<K> {
        let components = petgraph::algo::tarjan_scc(&self.inner);
        let knot = components
            .iter()
            .filter(|nodes| nodes.len() > 1 || nodes.iter().any(|&n| self.inner.contains_edge(n, n)))
            .min_by_key(|nodes| nodes.iter().map(|&n| &self.inner[n]).min());
        let Some(knot) = knot else { return Cycle(Vec::new()) };
        let Some(&start) = knot.iter().min_by_key(|&&n| &self.inner[n]) else { return Cycle(Vec::new()) };
        // Breadth first from `start` along dependencies until it comes back.
        let mut cause: BTreeMap<NodeIndex, NodeIndex> = BTreeMap::new();
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for next in self.inner.neighbors_directed(node, Direction::Incoming).filter(|n| knot.contains(n)) {
                if next == start {
                    let mut path = vec![node];
                    while let Some(&back) = cause.get(path.last().unwrap_or(&start)) {
                        path.push(back);
                    }
                    path.reverse();
                    return Cycle(path.into_iter().map(|n| self.inner[n].clone()).collect());
                }
                if next != start && !cause.contains_key(&next) {
                    cause.insert(next, node);
                    queue.push_back(next);
                }
            }
        }
        Cycle(Vec::new())
    }

    /// The longest chain by `weight` (one per node, any unit): its total and its members, first to last.
    /// Empty on a cyclic graph.
    pub fn critical_path(&self, weight: impl Fn(&K) -> f64) -> (f64, Vec<K>) {
        let Ok(order) = self.order() else { return (0.0, Vec::new()) };
        let mut best: BTreeMap<&K, (f64, Option<&K>)> = BTreeMap::new();
        for key in &order {
            let (length, from) = self
                .dependencies(key)
                .into_iter()
                .filter_map(|(dependency, _)| best.get(dependency).map(|(length, _)| (*length, Some(dependency))))
                .fold((0.0, None), |a, b| if b.0 > a.0 { b } else { a });
            best.insert(key, (length + weight(key), from));
        }
        let Some((&last, &(total, _))) = best.iter().max_by(|a, b| a.1.0.total_cmp(&b.1.0).then(b.0.cmp(a.0))) else {
            return (0.0, Vec::new());
        };
        let mut path = vec![last.clone()];
        let mut at = last;
        while let Some((_, Some(from))) = best.get(at) {
            path.push((*from).clone());
            at = from;
        }
        path.reverse();
        (total, path)
    }

    /// A shortest chain of edges by which `dependent` comes to need `dependency`: each step is
    /// (dependent, dependency, reasons). Empty when it does not.
    pub fn why(&self, dependent: &K, dependency: &K) -> Vec<(K, K, Vec<String>)> {
        let (Some(&start), Some(&goal)) = (self.index.get(dependent), self.index.get(dependency)) else {
            return Vec::new();
        };
        let mut came: BTreeMap<NodeIndex, NodeIndex> = BTreeMap::new();
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            if node == goal {
                break;
            }
            for next in self.inner.neighbors_directed(node, Direction::Incoming) {
                if next != start && !came.contains_key(&next) {
                    came.insert(next, node);
                    queue.push_back(next);
                }
            }
        }
        let mut chain = Vec::new();
        let mut at = goal;
        while let Some(&back) = came.get(&at) {
            let reasons = self.inner.find_edge(at, back).map(|e| self.inner[e].clone()).unwrap_or_default();
            chain.push((self.inner[back].clone(), self.inner[at].clone(), reasons));
            at = back;
        }
        chain.reverse();
        chain
    }

    /// The same nodes with every edge turned round.
    pub fn reversed(&self) -> Self {
        let mut graph = self.clone();
        graph.inner.reverse();
        graph
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn graph(edges: &[(u32, u32)]) -> Graph<u32> {
        let mut graph = Graph::new();
        for &(dependent, dependency) in edges {
            graph.depend(dependent, dependency, "test");
        }
        graph
    }

    #[test]
    fn a_cycle_names_its_members_in_order() {
        assert_eq!(graph(&[(1, 2), (2, 3), (3, 1), (4, 1)]).order(), Err(Cycle(vec![1, 2, 3])));
        assert_eq!(graph(&[(7, 7)]).order(), Err(Cycle(vec![7])));
    }

    #[test]
    fn why_gives_the_shortest_chain() {
        let graph = graph(&[(3, 2), (2, 1), (3, 9), (9, 8), (8, 1)]);
        let steps = graph.why(&3, &1).into_iter().map(|(a, b, _)| (a, b)).collect::<Vec<_>>();
        assert_eq!(steps, [(3, 2), (2, 1)]);
        assert!(graph.why(&1, &3).is_empty());
    }

    proptest! {
        #[test]
        fn orders_respect_every_edge(edges in proptest::collection::vec((0u32..40, 0u32..40), 0..120)) {
            let acyclic = edges.into_iter().filter(|(a, b)| a > b).collect::<Vec<_>>();
            let graph = graph(&acyclic);
            let order = graph.order().expect("edges only run downwards");
            for (dependent, dependency) in acyclic {
                let at = |k| order.iter().position(|n| *n == k);
                prop_assert!(at(dependency) < at(dependent));
            }
            prop_assert_eq!(graph.reversed().reversed().order().expect("still acyclic"), order);
        }

        #[test]
        fn a_reported_cycle_is_one(edges in proptest::collection::vec((0u32..12, 0u32..12), 0..40)) {
            let graph = graph(&edges);
            if let Err(Cycle(members)) = graph.order() {
                prop_assert!(!members.is_empty());
                for (at, member) in members.iter().enumerate() {
                    let next = members[(at + 1) % members.len()];
                    prop_assert!(graph.dependencies(member).iter().any(|(k, _)| **k == next));
                }
            }
        }

        #[test]
        fn the_critical_path_is_at_least_every_chain(edges in proptest::collection::vec((0u32..20, 0u32..20), 1..60)) {
            let acyclic = edges.into_iter().filter(|(a, b)| a > b).collect::<Vec<_>>();
            let graph = graph(&acyclic);
            let (total, path) = graph.critical_path(|k| f64::from(*k));
            prop_assert_eq!(path.iter().map(|k| f64::from(*k)).sum::<f64>(), total);
            for (dependent, dependency) in acyclic {
                prop_assert!(total >= f64::from(dependent + dependency));
            }
        }
    }
}

//! Which of the charts inside a chart take part, under which name, and what is imported from their values.
//! Not for fetching what is missing.

use std::cell::RefCell;
use std::sync::Arc;

use super::error::{Cause, ChartError};
use super::load::Chart;
use super::metadata::{Dependency, Import};
use super::values::{child, coalesce, coalesce_tables, copy_table, table};
use crate::template::{self, Constraint, Data, Tokens, Version};

/// A chart that takes part in a rendering.
pub(super) struct Node {
    /// The chart.
    pub(super) chart: Arc<Chart>,
    /// Its name here: the alias where it has one.
    pub(super) name: String,
    /// The dependencies that it names and that are on.
    pub(super) named: Vec<Dependency>,
    /// The charts inside.
    pub(super) dependencies: Vec<Node>,
    /// Its defaults once the imported values are among them.
    imported: RefCell<Option<template::Map>>,
}

impl Node {
    fn new(chart: &Arc<Chart>, name: &str) -> Node {
        Node {
            chart: chart.clone(),
            name: name.to_owned(),
            named: chart.metadata.dependencies.clone(),
            dependencies: chart.dependencies.iter().map(|inner| Node::new(inner, inner.name())).collect(),
            imported: RefCell::new(None),
        }
    }

    /// A fresh copy of its default values.
    pub(super) fn defaults(&self) -> template::Map {
        match &*self.imported.borrow() {
            Some(values) => copy_table(values),
            None => table(&self.chart.values, false, &mut Tokens::default()),
        }
    }
}

/// Whether the version is in the range; neither being readable means no.
pub(super) fn fits(range: &str, version: &str) -> bool {
    match (Constraint::parse(range), Version::loose(version)) {
        (Ok(range), Some(version)) => range.allows(&version),
        _ => false,
    }
}

/// The chart with the charts inside that the values leave on.
///
/// # Errors
/// Where a dependency that the chart names is not there, or values of the wrong kind stand for one.
pub(super) fn resolve(chart: &Arc<Chart>, values: &template::Map) -> Result<Node, ChartError> {
    let missing = chart
        .metadata
        .dependencies
        .iter()
        .filter(|named| !chart.dependencies.iter().any(|inner| inner.name() == named.name))
        .map(|named| named.name.as_str())
        .collect::<Vec<_>>();
    if !missing.is_empty() {
        let message = format!("the chart needs {}, which is not in its charts folder", missing.join(", "));
        return Err(ChartError::new(Cause::Dependency, chart.name(), message).file("Chart.yaml").hint(
            "use the published archive of the chart, which holds its dependencies, or run `helm dependency build`",
        ));
    }
    let mut node = Node::new(chart, chart.name());
    switch(&mut node, values, "")?;
    import(&node)?;
    Ok(node)
}

/// Takes out what conditions and tags switch off, and gives aliases their names.
fn switch(node: &mut Node, values: &template::Map, path: &str) -> Result<(), ChartError> {
    if node.named.is_empty() {
        return Ok(());
    }
    let charts = std::mem::take(&mut node.dependencies);
    let named = |inner: &Node, dependency: &Dependency| {
        inner.chart.name() == dependency.name && fits(&dependency.version, inner.chart.version())
    };
    let mut taken = Vec::new();
    for dependency in &node.named {
        if let Some(inner) = charts.iter().find(|inner| named(inner, dependency)) {
            taken.push(Node::new(&inner.chart, dependency.shown()));
        }
    }
    // What Chart.yaml does not name takes part all the same, and comes first.
    node.dependencies =
        charts.into_iter().filter(|inner| !node.named.iter().any(|dependency| named(inner, dependency))).collect();
    node.dependencies.extend(taken);
    let all = copy_table(values);
    coalesce(node, &all, false)?;
    let tags = child(&all, "tags");
    let mut off = Vec::new();
    node.named.retain(|dependency| {
        let on = switched(dependency, &all, tags.as_ref(), path);
        if !on {
            off.push(dependency.shown().to_owned());
        }
        on
    });
    node.dependencies.retain(|inner| !off.contains(&inner.name));
    for inner in &mut node.dependencies {
        let path = format!("{path}{}.", inner.name);
        switch(inner, &all, &path)?;
    }
    Ok(())
}

fn switched(dependency: &Dependency, values: &template::Map, tags: Option<&template::Map>, path: &str) -> bool {
    let truths = |tag: &String| match tags?.get(tag.as_bytes()) {
        Some(Data::Bool(truth)) => Some(truth),
        _ => None,
    };
    let truths = dependency.tags.iter().filter_map(truths).collect::<Vec<_>>();
    let by_tags = truths.is_empty() || truths.contains(&true);
    let conditions = dependency.condition.trim().split(',').filter(|condition| !condition.is_empty());
    conditions
        .filter_map(|condition| match value_at(values, &format!("{path}{condition}")) {
            Some(Data::Bool(truth)) => Some(truth),
            _ => None,
        })
        .next()
        .unwrap_or(by_tags)
}

/// The value at a dotted path; tables are none.
fn value_at(values: &template::Map, path: &str) -> Option<Data> {
    match path.rsplit_once('.') {
        Some((before, last)) => table_at(values, before)?.get(last.as_bytes()),
        None => values.get(path.as_bytes()),
    }
}

/// The table at a dotted path.
fn table_at(values: &template::Map, path: &str) -> Option<template::Map> {
    path.split('.').try_fold(values.clone(), |map, key| child(&map, key))
}

/// Lays the imported values of dependencies under the defaults of each chart, from the inside out.
fn import(node: &Node) -> Result<(), ChartError> {
    node.dependencies.iter().try_for_each(import)?;
    if node.named.is_empty() {
        return Ok(());
    }
    let all = template::Map::new(Default::default());
    coalesce(node, &all, true)?;
    let imported = template::Map::new(Default::default());
    for dependency in &node.named {
        for import in &dependency.imports {
            let (child, parent) = match import {
                Import::Exported(name) => (format!("exports.{name}"), "."),
                Import::Table { child, parent } => (child.clone(), parent.as_str()),
            };
            let Some(found) = table_at(&all, &format!("{}.{child}", dependency.shown())) else { continue };
            let placed = match parent {
                "." => found,
                path => path.split('.').rev().fold(found, |inner, key| {
                    template::Map::new(std::iter::once((key.into(), Data::Map(inner))).collect())
                }),
            };
            coalesce_tables(&imported, &placed, true);
        }
    }
    let own = copy_table(&all);
    coalesce_tables(&own, &imported, true);
    node.imported.replace(Some(own));
    Ok(())
}

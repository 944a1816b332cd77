//! Runs syntax trees, with Go's rules for values, nothings, variables and messages.
//!
//! An [`Engine`] is one rendering: its budget, its clock value, its randomness. A `Frame` is one
//! template that runs. Not for the functions themselves.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::budget::Budget;
use super::data::{Data, Element, IntKind, Map, Text};
use super::fault::{Error, Fault, Kind};
use super::functions::{Call, Function, Special, T};
use super::print;
use super::syntax::{At, Body, Branch, Command, Number, Operand, Pipeline, Statement};
use super::{Options, Templates};

/// One rendering.
pub struct Engine<'o> {
    pub(super) options: &'o Options<'o>,
    pub(super) budget: Budget,
    /// How often each template is running through `include`.
    pub(super) running: RefCell<BTreeMap<String, u32>>,
    /// The places that led to what runs now, outermost first: the call site of random values.
    pub(super) trail: RefCell<Vec<(String, usize)>>,
    /// How often each call site drew a random value.
    pub(super) draws: RefCell<BTreeMap<[u8; 32], u64>>,
    /// Texts given to `tpl`, parsed.
    pub(super) parsed: RefCell<BTreeMap<Text, Rc<Vec<Arc<Body>>>>>,
    pub(super) patterns: RefCell<BTreeMap<Text, Rc<regex::bytes::Regex>>>,
}

/// The templates that can be called, and those of the texts around.
pub(super) struct Set {
    pub(super) outer: Option<Rc<Set>>,
    pub(super) own: Templates,
}

impl Set {
    pub(super) fn find(&self, name: &str) -> Option<&Arc<Body>> {
        self.own.bodies.get(name).or_else(|| self.outer.as_ref()?.find(name))
    }
}

/// A value, and whether it sits in an interface: Go's messages tell the difference.
#[derive(Clone)]
struct Held {
    data: Data,
    held: bool,
}

enum Flow {
    On,
    Break,
    Continue,
}

enum Stop {
    Here(Fault),
    Elsewhere(Box<Error>),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Here(fault)
    }
}

type Run<T> = Result<T, Stop>;

fn stop<T>(text: impl Into<String>) -> Run<T> {
    Err(Stop::Here(Fault::new(text)))
}

impl<'o> Engine<'o> {
    pub(super) fn new(options: &'o Options<'o>) -> Self {
        Engine {
            options,
            budget: Budget::new(options.limits),
            running: RefCell::default(),
            trail: RefCell::default(),
            draws: RefCell::default(),
            parsed: RefCell::default(),
            patterns: RefCell::default(),
        }
    }

    /// Runs one template.
    pub(super) fn execute(&self, set: &Rc<Set>, body: &Body, dot: Data, out: &mut Vec<u8>) -> Result<(), Error> {
        self.run(set, body, Held { data: dot, held: false }, out)
    }

    fn run(&self, set: &Rc<Set>, body: &Body, dot: Held, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut frame = Frame { engine: self, set, body, variables: vec![("$", dot.clone())], at: None, out };
        let result = self.budget.deeper(|| frame.list(&dot, &body.list));
        match result {
            Ok(_) => Ok(()),
            Err(Stop::Elsewhere(error)) => Err(*error),
            Err(Stop::Here(fault)) => Err(frame.locate(fault)),
        }
    }
}

struct Frame<'f, 't> {
    engine: &'f Engine<'f>,
    set: &'f Rc<Set>,
    body: &'t Body,
    variables: Vec<(&'t str, Held)>,
    at: Option<At<'t>>,
    out: &'f mut Vec<u8>,
}

impl<'t> Frame<'_, 't> {
    fn locate(&self, fault: Fault) -> Error {
        let (line, column) = self.at.map_or((0, None), |at| {
            let (line, column) = self.body.line_column(at.place());
            let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
            (small(line), Some(small(column)))
        });
        Error {
            kind: fault.kind,
            file: self.body.file.clone(),
            line,
            column,
            at: self.at.map(|at| (self.body.name.clone(), at.to_string())),
            text: fault.text,
            inner: fault.inner,
        }
    }

    fn list(&mut self, dot: &Held, list: &'t [Statement]) -> Run<Flow> {
        self.engine.budget.enter()?;
        let mut flow = Flow::On;
        for statement in list {
            flow = self.statement(dot, statement)?;
            if !matches!(flow, Flow::On) {
                break;
            }
        }
        self.engine.budget.leave();
        Ok(flow)
    }

    fn write(&mut self, bytes: &[u8]) -> Run<()> {
        self.engine.budget.text(bytes.len())?;
        if self.out.len() + bytes.len() > super::budget::MAX_TEXT {
            return Err(Fault::limit("the output is longer than a rendering may make").into());
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn statement(&mut self, dot: &Held, statement: &'t Statement) -> Run<Flow> {
        match statement {
            Statement::Literal(text) => self.write(text.bytes())?,
            Statement::Action(pipeline) => {
                self.at = Some(At::Statement(statement));
                let value = self.pipeline(dot, pipeline)?;
                if pipeline.variables.is_empty() {
                    match &value {
                        Data::Text(text) => self.write(text.bytes())?,
                        Data::Missing | Data::Nil => self.write(b"<no value>")?,
                        other => {
                            let shown = print::printed(other)?;
                            self.write(&shown)?;
                        }
                    }
                }
            }
            Statement::If(branch) => return self.choose(dot, branch, false),
            Statement::With(branch) => return self.choose(dot, branch, true),
            Statement::Range(branch) => return self.range(dot, branch),
            Statement::Template { place, name, pipeline } => {
                self.at = Some(At::Statement(statement));
                let Some(body) = self.set.find(name).cloned() else {
                    return stop(format!("template {} not defined", print::quoted(name.as_bytes())));
                };
                let data = match pipeline {
                    Some(pipeline) => self.pipeline(dot, pipeline)?,
                    None => Data::Missing,
                };
                self.engine.trail.borrow_mut().push((self.body.file.clone(), *place));
                let result = self.engine.run(self.set, &body, Held { data, held: false }, self.out);
                self.engine.trail.borrow_mut().pop();
                result.map_err(|error| Stop::Elsewhere(Box::new(error)))?;
            }
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    /// Whether a value counts as true.
    fn truth(&self, value: &Data) -> Run<bool> {
        if let Data::Text(text) = value
            && let Some(source) = self.engine.options.tokens.source(text.bytes())
        {
            return Err(Fault::unknown(format!("{source} is known only later; a template cannot branch on it")).into());
        }
        Ok(value.truth())
    }

    fn choose(&mut self, dot: &Held, branch: &'t Branch, with: bool) -> Run<Flow> {
        let mark = self.variables.len();
        let value = self.pipeline(dot, &branch.pipeline)?;
        let flow = if self.truth(&value)? {
            if with {
                self.list(&Held { data: value, held: false }, &branch.list)
            } else {
                self.list(dot, &branch.list)
            }
        } else {
            self.list(dot, &branch.otherwise)
        };
        self.variables.truncate(mark);
        flow
    }

    fn range(&mut self, dot: &Held, branch: &'t Branch) -> Run<Flow> {
        let mark = self.variables.len();
        let value = self.pipeline(dot, &branch.pipeline)?;
        // Named maps and lists are gone through as plain ones; structs are not.
        let through = matches!(value.kind_name(), "map" | "slice");
        let value = match value {
            Data::Object(object) if through => object.plain(),
            value => value,
        };
        let inner = self.variables.len();
        let mut any = false;
        let mut once = |frame: &mut Self, index: Data, item: Held| -> Run<bool> {
            any = true;
            frame.engine.budget.step(1)?;
            let names = &branch.pipeline.variables;
            if branch.pipeline.assigns {
                match &names[..] {
                    [one] => frame.assign(one, item.clone())?,
                    [first, second] => {
                        frame.assign(first, Held { data: index, held: false })?;
                        frame.assign(second, item.clone())?;
                    }
                    _ => {}
                }
            } else {
                if !names.is_empty() {
                    frame.variables[inner - 1].1 = item.clone();
                }
                if names.len() > 1 {
                    frame.variables[inner - 2].1 = Held { data: index, held: false };
                }
            }
            let flow = frame.list(&item, &branch.list)?;
            frame.variables.truncate(inner);
            Ok(!matches!(flow, Flow::Break))
        };
        match &value {
            Data::Missing | Data::Nil => {}
            Data::Int(_, count) if branch.pipeline.variables.len() > 1 => {
                return stop(format!("can't use {count} to iterate over more than one variable"));
            }
            Data::Int(kind, count) => {
                for number in 0..*count {
                    let item = Data::Int(*kind, number);
                    if !once(self, item.clone(), Held { data: item, held: false })? {
                        break;
                    }
                }
            }
            Data::List(list) => {
                let held = list.element() == Element::Any;
                for (at, item) in list.items().iter().enumerate() {
                    if !once(self, Data::int(at as i64), Held { data: item.clone(), held })? {
                        break;
                    }
                }
            }
            Data::Bytes(bytes) => {
                for (at, byte) in bytes.bytes().iter().enumerate() {
                    let item = Data::Int(IntKind::Uint8, i64::from(*byte));
                    if !once(self, Data::int(at as i64), Held { data: item, held: false })? {
                        break;
                    }
                }
            }
            Data::Map(map) => {
                let held = map.element() == Element::Any;
                for (key, item) in map.snapshot() {
                    if !once(self, Data::Text(key), Held { data: item, held })? {
                        break;
                    }
                }
            }
            other => {
                let shown = String::from_utf8_lossy(&print::shown(other)?).into_owned();
                return stop(format!("range can't iterate over {shown}"));
            }
        }
        let flow = if any { Flow::On } else { self.list(dot, &branch.otherwise)? };
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn assign(&mut self, name: &str, value: Held) -> Run<()> {
        match self.variables.iter_mut().rev().find(|(have, _)| *have == name) {
            Some((_, slot)) => {
                *slot = value;
                Ok(())
            }
            None => stop(format!("undefined variable: {name}")),
        }
    }

    fn pipeline(&mut self, dot: &Held, pipeline: &'t Pipeline) -> Run<Data> {
        self.at = Some(At::Pipeline(pipeline));
        self.engine.budget.enter()?;
        let mut value = None;
        for command in &pipeline.commands {
            let result = self.command(dot, command, value)?.data;
            value = Some(if let Data::Nil = result { Data::Missing } else { result });
        }
        self.engine.budget.leave();
        let value = value.unwrap_or(Data::Missing);
        for name in &pipeline.variables {
            let held = Held { data: value.clone(), held: false };
            if pipeline.assigns {
                self.assign(name, held)?;
            } else {
                self.variables.push((name, held));
            }
        }
        Ok(value)
    }

    fn command(&mut self, dot: &Held, command: &'t Command, last: Option<Data>) -> Run<Held> {
        self.engine.budget.step(1)?;
        let first = &command.operands[0];
        let arguments = &command.operands[1..];
        match first {
            Operand::Function { function, .. } => {
                self.at = Some(At::Operand(first));
                return self.function(dot, At::Command(command), function, arguments, last);
            }
            Operand::Field { names, .. } => {
                self.at = Some(At::Operand(first));
                return self.fields(dot, dot.clone(), first, names, arguments, last);
            }
            Operand::Chain { operand, names, .. } => {
                self.at = Some(At::Operand(first));
                let receiver = self.chain_start(dot, first, operand)?;
                return self.fields(dot, receiver, first, names, arguments, last);
            }
            Operand::Variable { name, names, .. } if !names.is_empty() => {
                self.at = Some(At::Operand(first));
                let receiver = self.variable(name)?;
                return self.fields(dot, receiver, first, names, arguments, last);
            }
            _ => {}
        }
        if !matches!(first, Operand::Pipeline(_)) {
            self.at = Some(At::Operand(first));
        }
        if !arguments.is_empty() || last.is_some() {
            return stop(format!("can't give argument to non-function {}", At::Operand(first)));
        }
        let plain = |data| Ok(Held { data, held: false });
        match first {
            Operand::Variable { name, .. } => self.variable(name),
            Operand::Pipeline(pipeline) => {
                let data = self.pipeline(dot, pipeline)?;
                plain(data)
            }
            Operand::Dot(_) => Ok(dot.clone()),
            Operand::Nil(_) => stop("nil is not a command"),
            Operand::Bool(_, truth) => plain(Data::Bool(*truth)),
            Operand::Number(_, number) => plain(self.ideal(number)?),
            Operand::Text { value, .. } => plain(Data::Text(value.clone())),
            Operand::Field { .. } | Operand::Chain { .. } | Operand::Function { .. } => stop("not a command"),
        }
    }

    fn ideal(&self, number: &Number) -> Run<Data> {
        match (number.is_float, number.float, number.int) {
            (true, Some(float), _) => Ok(Data::Float(float)),
            (_, _, Some(int)) => Ok(Data::int(int)),
            _ => stop(format!("{} overflows int", number.source)),
        }
    }

    fn variable(&self, name: &str) -> Run<Held> {
        match self.variables.iter().rev().find(|(have, _)| *have == name) {
            Some((_, value)) => Ok(value.clone()),
            None => stop(format!("undefined variable: {name}")),
        }
    }

    fn chain_start(&mut self, dot: &Held, chain: &'t Operand, operand: &'t Operand) -> Run<Held> {
        match operand {
            Operand::Nil(_) => stop(format!("indirection through explicit nil in {}", At::Operand(chain))),
            Operand::Pipeline(pipeline) => {
                self.at = Some(At::Operand(operand));
                let data = self.pipeline(dot, pipeline)?;
                Ok(Held { data, held: false })
            }
            Operand::Function { function, .. } => {
                self.at = Some(At::Operand(operand));
                self.function(dot, At::Operand(operand), function, &[], None)
            }
            _ => stop("cannot take a field of this"),
        }
    }

    fn fields(
        &mut self,
        dot: &Held,
        receiver: Held,
        operand: &'t Operand,
        names: &'t [String],
        arguments: &'t [Operand],
        last: Option<Data>,
    ) -> Run<Held> {
        let Some((final_name, before)) = names.split_last() else { return Ok(receiver) };
        let mut value = receiver;
        for name in before {
            value = self.field(dot, value, operand, name, &[], None)?;
        }
        self.field(dot, value, operand, final_name, arguments, last)
    }

    fn field(
        &mut self,
        dot: &Held,
        receiver: Held,
        operand: &'t Operand,
        name: &'t str,
        arguments: &'t [Operand],
        last: Option<Data>,
    ) -> Run<Held> {
        let has_arguments = !arguments.is_empty() || last.is_some();
        match &receiver.data {
            Data::Missing => return Ok(receiver),
            Data::Nil => return stop(format!("nil pointer evaluating interface {{}}.{name}")),
            Data::Map(map) => {
                if map.named() == Some(super::tables::VALUES)
                    && let Some(wanted) = super::tables::takes(name)
                {
                    return self.table_method(dot, map, operand, name, wanted, (arguments, last));
                }
                if has_arguments {
                    return stop(format!("{name} is not a method but has arguments"));
                }
                let element = map.element();
                let data = map.get(name.as_bytes()).unwrap_or_else(|| element.zero());
                return Ok(Held { data, held: element == Element::Any });
            }
            Data::Object(object) => {
                if !has_arguments && let Some(data) = object.field(name) {
                    return Ok(Held { data, held: false });
                }
                let mut values = Vec::new();
                for argument in arguments {
                    values.push(self.argument(dot, argument, T::Any)?);
                }
                values.extend(last.map(|value| if value.is_nothing() { Data::Nil } else { value }));
                let call = self.call(At::Operand(operand), &METHOD, values);
                if let Some(result) = object.method(name, &call) {
                    self.at = Some(At::Operand(operand));
                    return match result {
                        Ok(data) => Ok(Held { data, held: false }),
                        Err(fault) => Err(calling(name, fault)),
                    };
                }
                if has_arguments && object.field(name).is_some() {
                    return stop(format!("{name} has arguments but cannot be invoked as function"));
                }
            }
            Data::Time(moment) => {
                let mut values = Vec::new();
                for argument in arguments {
                    values.push(self.argument(dot, argument, T::Any)?);
                }
                values.extend(last);
                if let Some(result) = moment.method(name, &values) {
                    self.at = Some(At::Operand(operand));
                    return match result {
                        Ok(data) => Ok(Held { data, held: false }),
                        Err(fault) => Err(calling(name, fault)),
                    };
                }
            }
            Data::Int(IntKind::Duration, nanoseconds) if !has_arguments => {
                if let Some(data) = super::moment::duration_method(*nanoseconds, name) {
                    return Ok(Held { data, held: false });
                }
            }
            _ => {}
        }
        let of = if receiver.held { "interface {}".into() } else { receiver.data.type_name() };
        stop(format!("can't evaluate field {name} in type {of}"))
    }

    /// A method of `.Values`.
    fn table_method(
        &mut self,
        dot: &Held,
        map: &Map,
        operand: &'t Operand,
        name: &'t str,
        wanted: usize,
        (arguments, last): (&'t [Operand], Option<Data>),
    ) -> Run<Held> {
        let given = arguments.len() + usize::from(last.is_some());
        if given != wanted {
            return stop(format!("wrong number of args for {name}: want {wanted} got {given}"));
        }
        let mut path = String::new();
        for argument in arguments {
            if let Data::Text(text) = self.argument(dot, argument, T::Text)? {
                path = text.str().into_owned();
            }
        }
        if let Some(last) = last
            && let Data::Text(text) = self.fit(last, T::Text)?
        {
            path = text.str().into_owned();
        }
        self.at = Some(At::Operand(operand));
        super::tables::method(map, name, &path)
            .map(|data| Held { held: name == "PathValue", data })
            .map_err(|fault| calling(name, fault))
    }

    fn call<'c>(&'c self, at: At<'t>, function: &'static Function, arguments: Vec<Data>) -> Call<'c, 'c> {
        Call { engine: self.engine, set: self.set, function, site: (&self.body.file, at.place()), arguments }
    }

    fn function(
        &mut self,
        dot: &Held,
        at: At<'t>,
        function: &'static Function,
        operands: &'t [Operand],
        last: Option<Data>,
    ) -> Run<Held> {
        let given = operands.len() + usize::from(last.is_some());
        let fixed = function.params.len();
        if function.rest.is_some() {
            if given < fixed {
                return stop(format!("wrong number of args for {}: want at least {fixed} got {given}", function.name));
            }
        } else if given != fixed {
            return stop(format!("wrong number of args for {}: want {fixed} got {given}", function.name));
        }
        if let Special::And | Special::Or = function.special {
            return self.short_circuit(dot, function, operands, last);
        }
        let mut values = Vec::with_capacity(given);
        for (index, operand) in operands.iter().enumerate() {
            let wanted = function.params.get(index).copied().or(function.rest).unwrap_or(T::Any);
            values.push(self.argument(dot, operand, wanted)?);
        }
        if let Some(last) = last {
            let wanted = function.params.get(operands.len()).copied().or(function.rest).unwrap_or(T::Any);
            values.push(self.fit(last, wanted)?);
        }
        self.engine.budget.step(values.iter().map(weight).sum::<usize>())?;
        let call = self.call(at, function, values);
        let result = call.run();
        match result {
            Ok(data) => {
                match &data {
                    Data::Text(text) => self.engine.budget.text(text.bytes().len())?,
                    Data::List(list) => self.engine.budget.memory(64 + size_of_val(list.items()))?,
                    Data::Map(_) => self.engine.budget.memory(MAP_SIZE)?,
                    _ => {}
                }
                Ok(Held { data, held: true })
            }
            Err(fault) => {
                self.at = Some(at);
                Err(calling(function.name, fault))
            }
        }
    }

    fn short_circuit(
        &mut self,
        dot: &Held,
        function: &'static Function,
        operands: &'t [Operand],
        last: Option<Data>,
    ) -> Run<Held> {
        let wanted = matches!(function.special, Special::Or);
        let mut value = Data::Missing;
        for operand in operands {
            value = self.argument(dot, operand, T::Value)?;
            if self.truth(&value)? == wanted {
                return Ok(Held { data: value, held: false });
            }
        }
        if let Some(last) = last {
            value = last;
        }
        Ok(Held { data: value, held: false })
    }

    fn argument(&mut self, dot: &Held, operand: &'t Operand, wanted: T) -> Run<Data> {
        self.at = Some(At::Operand(operand));
        match operand {
            Operand::Dot(_) => return self.fit(dot.data.clone(), wanted),
            Operand::Nil(_) => {
                return if wanted == T::Value {
                    Ok(Data::Missing)
                } else if wanted.nillable() {
                    Ok(Data::Nil)
                } else {
                    stop(format!("cannot assign nil to {}", wanted.name()))
                };
            }
            Operand::Field { names, .. } => {
                let value = self.fields(dot, dot.clone(), operand, names, &[], None)?;
                return self.fit(value.data, wanted);
            }
            Operand::Variable { name, names, .. } => {
                let receiver = self.variable(name)?;
                let value = self.fields(dot, receiver, operand, names, &[], None)?;
                return self.fit(value.data, wanted);
            }
            Operand::Chain { operand: inner, names, .. } => {
                let receiver = self.chain_start(dot, operand, inner)?;
                let value = self.fields(dot, receiver, operand, names, &[], None)?;
                return self.fit(value.data, wanted);
            }
            Operand::Pipeline(pipeline) => {
                let value = self.pipeline(dot, pipeline)?;
                return self.fit(value, wanted);
            }
            Operand::Function { function, .. } => {
                let value = self.function(dot, At::Operand(operand), function, &[], None)?;
                return self.fit(value.data, wanted);
            }
            Operand::Bool(..) | Operand::Number(..) | Operand::Text { .. } => {}
        }
        let expected = |what: &str| stop(format!("expected {what}; found {}", At::Operand(operand)));
        match (wanted, operand) {
            (T::Any | T::Value | T::Bool, Operand::Bool(_, truth)) => Ok(Data::Bool(*truth)),
            (T::Any | T::Value | T::Text, Operand::Text { value, .. }) => Ok(Data::Text(value.clone())),
            (T::Any | T::Value, Operand::Number(_, number)) => self.ideal(number),
            (T::Int, Operand::Number(_, Number { int: Some(int), .. })) => Ok(Data::int(*int)),
            (T::Float, Operand::Number(_, Number { float: Some(float), .. })) => Ok(Data::Float(*float)),
            (T::Bool, _) => expected("bool"),
            (T::Text, _) => expected("string"),
            (T::Int, _) => expected("integer"),
            (T::Float, _) => expected("float"),
            (wanted, _) => stop(format!("can't handle {} for arg of type {}", At::Operand(operand), wanted.name())),
        }
    }

    /// A value as an argument of type `wanted`.
    fn fit(&self, value: Data, wanted: T) -> Run<Data> {
        let fits = match (&value, wanted) {
            (Data::Missing, T::Value) => return Ok(Data::Missing),
            (Data::Missing, _) if wanted.nillable() => return Ok(Data::Nil),
            (Data::Missing, _) => return stop(format!("invalid value; expected {}", wanted.name())),
            (_, T::Any | T::Value) => true,
            (Data::Nil, _) => false,
            (Data::Text(_), T::Text) | (Data::Bool(_), T::Bool) | (Data::Float(_), T::Float) => true,
            (Data::Int(kind, _), T::Int) => *kind == IntKind::Int,
            (Data::Map(map), T::Map) => map.element() == Element::Any,
            (Data::Time(_), T::Time) => true,
            (Data::Object(object), T::Certificate) => object.type_name() == T::Certificate.name(),
            _ => false,
        };
        if fits {
            return Ok(match value {
                Data::Map(map) if wanted == T::Map => Data::Map(map.plain()),
                Data::Object(object) if wanted == T::Any => Data::Object(object.by_value().unwrap_or(object)),
                value => value,
            });
        }
        let got = if let Data::Nil = value { "interface {}".into() } else { value.type_name() };
        stop(format!("wrong type for value; expected {}; got {got}", wanted.name()))
    }
}

/// About what a small map takes.
pub(super) const MAP_SIZE: usize = 600;

/// Stands for the methods of objects.
static METHOD: Function = Function::new("method", &[], |_| Err(Fault::new("not a function")));

fn calling(name: &str, fault: Fault) -> Stop {
    Stop::Here(match fault.kind {
        Kind::Limit if fault.inner.is_none() => fault,
        _ => Fault { text: format!("error calling {name}: {}", fault.text), ..fault },
    })
}

/// What looking at an argument costs.
fn weight(data: &Data) -> usize {
    match data {
        Data::Text(text) => text.bytes().len() / 64,
        Data::List(list) => list.items().len() / 8,
        Data::Map(map) => map.len() / 8,
        _ => 0,
    }
}

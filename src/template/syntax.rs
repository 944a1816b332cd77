//! The syntax tree of a template, and how parts of it are written in messages. Not for evaluation.

use std::fmt;

use super::data::Text;
use super::functions::Function;

/// A byte offset into the text of the template.
pub(super) type Place = usize;

/// One parsed template: a file, a `define` or a `block`.
#[derive(Debug)]
pub(super) struct Body {
    /// The name it is called by.
    pub(super) name: String,
    /// The name of the text it stands in.
    pub(super) file: String,
    /// That text.
    pub(super) source: Text,
    /// What it does.
    pub(super) list: Vec<Statement>,
}

impl Body {
    /// Whether there is nothing in it but blank space.
    pub(super) fn is_blank(&self) -> bool {
        self.list.iter().all(|s| match s {
            Statement::Literal(text) => text.bytes().iter().all(u8::is_ascii_whitespace),
            _ => false,
        })
    }

    /// Line from 1 and column in bytes, as Go counts them: from 0 on the first line, from 1 after it.
    pub(super) fn line_column(&self, place: Place) -> (usize, usize) {
        let before = &self.source.bytes()[..place.min(self.source.bytes().len())];
        let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        (line(before), place - start)
    }
}

/// The line, from 1, that follows a text.
pub(super) fn line(before: &[u8]) -> usize {
    1 + before.iter().filter(|b| **b == b'\n').count()
}

/// A part of a text, which it shares.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) whole: Text,
    pub(super) range: std::ops::Range<usize>,
}

impl Part {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.whole.bytes()[self.range.clone()]
    }
}

/// One step of a template.
#[derive(Debug)]
pub(super) enum Statement {
    Literal(Part),
    Action(Pipeline),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template { place: Place, name: String, pipeline: Option<Pipeline> },
    Break,
    Continue,
}

/// `if`, `with` and `range`.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) pipeline: Pipeline,
    pub(super) list: Vec<Statement>,
    pub(super) otherwise: Vec<Statement>,
}

/// Commands, each feeding the next.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) place: Place,
    /// Variables that take the result, with their `$`.
    pub(super) variables: Vec<String>,
    /// Whether those exist already.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
}

/// A function and its arguments, or one operand.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) place: Place,
    pub(super) operands: Vec<Operand>,
}

/// What a command is made of.
#[derive(Debug)]
pub(super) enum Operand {
    Dot(Place),
    Nil(Place),
    Bool(Place, bool),
    Number(Place, Number),
    Text { place: Place, source: String, value: Text },
    Field { place: Place, names: Vec<String> },
    Variable { place: Place, name: String, names: Vec<String> },
    Function { place: Place, function: &'static Function },
    Chain { place: Place, operand: Box<Operand>, names: Vec<String> },
    Pipeline(Box<Pipeline>),
}

/// A numeric constant.
#[derive(Clone, Debug)]
pub(super) struct Number {
    pub(super) source: String,
    pub(super) int: Option<i64>,
    pub(super) float: Option<f64>,
    /// Whether it reads as a float where no type is asked for.
    pub(super) is_float: bool,
}

/// The part of a template that is being evaluated.
#[derive(Clone, Copy)]
pub(super) enum At<'t> {
    Statement(&'t Statement),
    Pipeline(&'t Pipeline),
    Command(&'t Command),
    Operand(&'t Operand),
}

impl At<'_> {
    pub(super) fn place(&self) -> Place {
        match self {
            At::Statement(Statement::Template { place, .. }) => *place,
            At::Statement(Statement::Action(pipeline)) => pipeline.place,
            At::Statement(Statement::If(branch) | Statement::With(branch) | Statement::Range(branch)) => {
                branch.pipeline.place
            }
            At::Statement(Statement::Literal(_) | Statement::Break | Statement::Continue) => 0,
            At::Pipeline(pipeline) => pipeline.place,
            At::Command(command) => command.place,
            At::Operand(operand) => operand.place(),
        }
    }
}

impl Operand {
    pub(super) fn place(&self) -> Place {
        match self {
            Operand::Dot(place)
            | Operand::Nil(place)
            | Operand::Bool(place, _)
            | Operand::Number(place, _)
            | Operand::Text { place, .. }
            | Operand::Field { place, .. }
            | Operand::Variable { place, .. }
            | Operand::Function { place, .. }
            | Operand::Chain { place, .. } => *place,
            Operand::Pipeline(pipeline) => pipeline.place,
        }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Statement(statement) => statement.fmt(f),
            At::Pipeline(pipeline) => pipeline.fmt(f),
            At::Command(command) => command.fmt(f),
            At::Operand(operand) => operand.fmt(f),
        }
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Statement::Literal(text) => f.write_str(&String::from_utf8_lossy(text.bytes())),
            Statement::Action(pipeline) => write!(f, "{{{{{pipeline}}}}}"),
            Statement::If(branch) => write!(f, "{{{{if {}}}}}", branch.pipeline),
            Statement::With(branch) => write!(f, "{{{{with {}}}}}", branch.pipeline),
            Statement::Range(branch) => write!(f, "{{{{range {}}}}}", branch.pipeline),
            Statement::Template { name, pipeline, .. } => {
                write!(f, "{{{{template {}", super::print::quoted(name.as_bytes()))?;
                if let Some(pipeline) = pipeline {
                    write!(f, " {pipeline}")?;
                }
                f.write_str("}}")
            }
            Statement::Break => f.write_str("{{break}}"),
            Statement::Continue => f.write_str("{{continue}}"),
        }
    }
}

impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            write!(f, "{} {} ", self.variables.join(", "), if self.assigns { "=" } else { ":=" })?;
        }
        for (at, command) in self.commands.iter().enumerate() {
            if at > 0 {
                f.write_str(" | ")?;
            }
            command.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, operand) in self.operands.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            match operand {
                Operand::Pipeline(pipeline) => write!(f, "({pipeline})")?,
                operand => operand.fmt(f)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = |f: &mut fmt::Formatter<'_>, names: &[String]| names.iter().try_for_each(|n| write!(f, ".{n}"));
        match self {
            Operand::Dot(_) => f.write_str("."),
            Operand::Nil(_) => f.write_str("nil"),
            Operand::Bool(_, truth) => truth.fmt(f),
            Operand::Number(_, number) => f.write_str(&number.source),
            Operand::Text { source, .. } => f.write_str(source),
            Operand::Field { names, .. } => fields(f, names),
            Operand::Variable { name, names, .. } => {
                f.write_str(name)?;
                fields(f, names)
            }
            Operand::Function { function, .. } => f.write_str(function.name),
            Operand::Chain { operand, names, .. } => {
                match operand.as_ref() {
                    Operand::Pipeline(pipeline) => write!(f, "({pipeline})")?,
                    operand => operand.fmt(f)?,
                }
                fields(f, names)
            }
            Operand::Pipeline(pipeline) => pipeline.fmt(f),
        }
    }
}

//! How much a rendering may cost, so that a hostile chart ends with a clear error. Not for time-outs.

use std::cell::Cell;

use super::fault::Fault;

/// The longest single text or output.
pub const MAX_TEXT: usize = 32 << 20;

/// What one rendering may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Evaluated commands and visited items.
    pub steps: u64,
    /// Bytes of everything that functions make, freed or not.
    pub bytes: u64,
    /// Templates that run inside each other. Helm lets each name be included a thousand times.
    pub depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { steps: 10_000_000, bytes: 512 << 20, depth: 1100 }
    }
}

/// What is left of the [`Limits`].
pub(super) struct Budget {
    steps: Cell<u64>,
    bytes: Cell<u64>,
    depth: Cell<u32>,
    nesting: Cell<u32>,
}

/// Blocks and pipelines inside each other, over all templates that run: bounds the stack.
const MAX_NESTING: u32 = 20_000;

impl Budget {
    pub(super) fn new(limits: Limits) -> Self {
        Budget {
            steps: Cell::new(limits.steps),
            bytes: Cell::new(limits.bytes),
            depth: Cell::new(limits.depth),
            nesting: Cell::new(0),
        }
    }

    /// Pays for `count` steps.
    pub(super) fn step(&self, count: usize) -> Result<(), Fault> {
        match self.steps.get().checked_sub(count as u64) {
            Some(left) => {
                self.steps.set(left);
                Ok(())
            }
            None => {
                self.steps.set(0);
                Err(Fault::limit("the template does more steps than a rendering may"))
            }
        }
    }

    /// Pays for a text of `count` bytes, before it is made where that can be known.
    pub(super) fn text(&self, count: usize) -> Result<(), Fault> {
        if count > MAX_TEXT {
            return Err(Fault::limit(format!("a text of {count} bytes is longer than a rendering may make")));
        }
        self.memory(count)
    }

    /// Pays for memory other than a single text.
    pub(super) fn memory(&self, count: usize) -> Result<(), Fault> {
        match self.bytes.get().checked_sub(count as u64) {
            Some(left) => {
                self.bytes.set(left);
                Ok(())
            }
            None => Err(Fault::limit("the template uses more memory than a rendering may")),
        }
    }

    /// Enters a block or pipeline; [`Budget::leave`] follows, except after a failure, which ends it all.
    pub(super) fn enter(&self) -> Result<(), Fault> {
        if self.nesting.get() == MAX_NESTING {
            return Err(Fault::limit("templates are nested too deeply"));
        }
        self.nesting.set(self.nesting.get() + 1);
        Ok(())
    }

    /// Leaves a block or pipeline.
    pub(super) fn leave(&self) {
        self.nesting.set(self.nesting.get().saturating_sub(1));
    }

    /// Enters a template, runs `f`, and leaves it.
    pub(super) fn deeper<T, E: From<Fault>>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let left = self.depth.get();
        if left == 0 {
            return Err(Fault::limit("exceeded maximum template depth: templates call each other without end").into());
        }
        self.depth.set(left - 1);
        let result = f();
        self.depth.set(left);
        result
    }
}

//! Functions that tell types and kinds, and deep equality.

use super::builtin::deep_equal;
use super::{Function, T};
use crate::template::data::Data;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("typeOf", &[T::Any], |c| Ok(Data::from(c.any(0).type_name().as_ref()))).places(),
    Function::new("typeIs", &[T::Text, T::Any], |c| Ok(Data::Bool(c.text(0) == c.any(1).type_name()))),
    Function::new("typeIsLike", &[T::Text, T::Any], |c| {
        let name = c.any(1).type_name();
        Ok(Data::Bool(c.text(0) == name || name.strip_prefix('*') == Some(&c.text(0))))
    }),
    Function::new("kindOf", &[T::Any], |c| Ok(Data::from(c.any(0).kind_name()))).places(),
    Function::new("kindIs", &[T::Text, T::Any], |c| Ok(Data::Bool(c.text(0) == c.any(1).kind_name()))),
    Function::new("deepEqual", &[T::Any, T::Any], |c| Ok(Data::Bool(deep_equal(c, c.any(0), c.any(1), 0)?))).deep(),
];

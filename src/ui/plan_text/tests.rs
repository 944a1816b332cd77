//! Plans as people see them.

use super::*;

fn shown(plan: &Plan, columns: Option<usize>) -> String {
    super::plan(plan, Options { paint: Paint { color: false }, verbose: false, columns })
}

#[test]
fn everything_at_once() {
    insta::assert_snapshot!("everything", shown(&crate::plan::sample::everything(), None));
}

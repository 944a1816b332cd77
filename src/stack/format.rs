//! Canonical formatting of a stack file.
/// The text itself, for now.
pub fn format(text: &str) -> String {
    text.to_owned()
}

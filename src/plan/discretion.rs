//! What of a difference may be shown: values that came from secrets may not, nor those that may have.
//!
//! State says which secrets went into a resource, not where: what is there of it now, as text, is not quoted.

use crate::resource::kind::Change;
use crate::state::model::Recorded;
use crate::value::{Encoding, Template, Value};

/// What stands for a value that must not be shown.
pub(super) fn hidden() -> Value {
    Value::from(Template { parts: Vec::new(), encoding: Encoding::Plain, sensitive: true })
}

fn hide(value: &mut Option<Value>) {
    if value.as_ref().is_some_and(|value| value.is_known() && *value != Value::Null) {
        *value = Some(hidden());
    }
}

/// Differences to what `desired` is once its secrets are put in; where it is deferred, neither side is shown.
pub(super) fn of_desired(mut changes: Vec<Change>, desired: &Value) -> Vec<Change> {
    for change in &mut changes {
        let wanted = desired.at(&change.path);
        // An item of a list that goes by a name cannot be looked up.
        let is_shown = match wanted {
            Some(wanted) => wanted.is_known(),
            None => !change.path.iter().any(|key| key.starts_with('[')),
        };
        if is_shown {
            continue;
        }
        hide(&mut change.before);
        match wanted {
            Some(wanted) => change.after = Some(wanted.clone()),
            None => hide(&mut change.after),
        }
    }
    changes
}

/// Differences between what is there and what is wanted of a resource that secrets went into.
pub(super) fn of_recorded(changes: &mut [Change], recorded: Option<&Recorded>) {
    for change in changes.iter_mut().filter(|_| recorded.is_some_and(is_told_secrets)) {
        if change.after == change.before {
            hide_text(&mut change.after);
        }
        hide_text(&mut change.before);
    }
}

/// What others have made of a resource that secrets went into.
pub(super) fn of_drift(changes: &mut [Change], recorded: &Recorded) {
    for change in changes.iter_mut().filter(|_| is_told_secrets(recorded)) {
        hide_text(&mut change.before);
        hide_text(&mut change.after);
    }
}

/// Whether a secret may be anywhere in it. What a Secret of the stack's own holds is only where everybody hides it.
pub(super) fn is_told_secrets(recorded: &Recorded) -> bool {
    let own = format!("{} ", recorded.address.identity());
    !recorded.secrets.keys().all(|name| name.starts_with(&own))
}

fn hide_text(value: &mut Option<Value>) {
    if value.as_ref().is_some_and(holds_text) {
        hide(value);
    }
}

/// Whether there is any text in it.
pub(super) fn holds_text(value: &Value) -> bool {
    match value {
        Value::String(_) => true,
        Value::List(items) => items.iter().any(holds_text),
        Value::Map(map) => map.values().any(holds_text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::address::Address;

    fn change(path: &[&str], before: Option<Value>, after: Option<Value>) -> Change {
        let path = path.iter().map(|key| (*key).to_owned()).collect();
        Change { path, before, after, forces_replace: false, effect: None, held_by: Vec::new() }
    }

    fn recorded(secret: &str) -> Recorded {
        Recorded {
            address: Address::new("charts.x/ConfigMap/n/c"),
            kind: "k8s.object".to_owned(),
            id: None,
            record: std::sync::Arc::default(),
            seen: None,
            needs: Vec::new(),
            connection: None,
            secrets: BTreeMap::from([(secret.to_owned(), "digest".to_owned())]),
            pending: None,
        }
    }

    #[test]
    fn text_of_what_holds_secrets_is_hidden_and_the_rest_is_not() {
        let texts =
            || vec![change(&["a"], Some("live".into()), Some("new".into())), change(&["b"], Some(Value::Int(1)), None)];
        let mut changes = texts();
        of_recorded(&mut changes, Some(&recorded("token")));
        assert_eq!(changes[0].before, Some(hidden()));
        assert_eq!((&changes[0].after, &changes[1].before), (&Some("new".into()), &Some(Value::Int(1))));
        let mut same = vec![change(&["a"], Some("live".into()), Some("live".into()))];
        of_recorded(&mut same, Some(&recorded("token")));
        assert_eq!((&same[0].before, &same[0].after), (&Some(hidden()), &Some(hidden())));
        let mut drift = texts();
        of_drift(&mut drift, &recorded("token"));
        assert_eq!((&drift[0].before, &drift[0].after), (&Some(hidden()), &Some(hidden())));
        for harmless in [Some(recorded("ConfigMap/n/c data.x")), None] {
            let mut changes = texts();
            of_recorded(&mut changes, harmless.as_ref());
            assert_eq!(changes, texts());
        }
    }

    #[test]
    fn what_is_deferred_in_the_plan_stays_so() {
        let token = Value::from(Template::secret("token"));
        let desired = Value::Map([("a".to_owned(), token.clone()), ("b".to_owned(), "x".into())].into());
        let changes = vec![
            change(&["a"], Some("old".into()), Some("hunter2".into())),
            change(&["b"], Some("y".into()), Some("x".into())),
            change(&["list", "[name=c]"], None, Some("hunter2".into())),
        ];
        let shown = of_desired(changes.clone(), &desired);
        assert_eq!((&shown[0].before, &shown[0].after), (&Some(hidden()), &Some(token)));
        assert_eq!(shown[1], changes[1]);
        assert_eq!(shown[2].after, Some(hidden()));
    }
}

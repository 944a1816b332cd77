//! Hooks: objects that are run at a moment in the life of a component rather than kept. What a plan, the state
//! and a driver have to know about one. Not for running them, and not for reading charts.
//!
//! A hook is a resource of the kind [`KIND`], one for each moment: an object that a chart wants before the
//! installation and before the deletion is two. Its attributes are those that [`Hook::attrs`] writes; state keeps
//! the same ones, so that a hook can be run when nothing is left of the chart that it came from.

use crate::address::{Address, ObjectKey};
use crate::value::{Map, Value};

/// The kind of hooks.
pub const KIND: &str = "k8s.hook";

/// The kind of Kubernetes objects that are kept.
pub const OBJECT: &str = "k8s.object";

/// The moment at which a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Before the component is there for the first time.
    PreInstall,
    /// Once it is there for the first time.
    PostInstall,
    /// Before it is changed.
    PreUpgrade,
    /// After it was changed.
    PostUpgrade,
    /// Before anything of it goes.
    PreDelete,
    /// After everything of it went.
    PostDelete,
}

impl Moment {
    /// All of them, in the order in which they come.
    pub const ALL: [Moment; 6] = [
        Moment::PreInstall,
        Moment::PostInstall,
        Moment::PreUpgrade,
        Moment::PostUpgrade,
        Moment::PreDelete,
        Moment::PostDelete,
    ];

    /// Helm's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Moment::PreInstall => "pre-install",
            Moment::PostInstall => "post-install",
            Moment::PreUpgrade => "pre-upgrade",
            Moment::PostUpgrade => "post-upgrade",
            Moment::PreDelete => "pre-delete",
            Moment::PostDelete => "post-delete",
        }
    }

    /// The moment of the hook at `address`; `None` when that is no hook's.
    pub fn of(address: &Address) -> Option<Moment> {
        let (word, _) = address.object_key()?.split_once(':')?;
        Moment::ALL.into_iter().find(|moment| moment.word() == word)
    }

    /// Whether it comes when the component goes.
    pub fn is_deletion(self) -> bool {
        matches!(self, Moment::PreDelete | Moment::PostDelete)
    }

    /// Whether it comes when the component is there for the first time.
    pub fn is_installation(self) -> bool {
        matches!(self, Moment::PreInstall | Moment::PostInstall)
    }

    /// Whether it comes before the objects of the component are made or changed.
    pub fn is_before(self) -> bool {
        matches!(self, Moment::PreInstall | Moment::PreUpgrade | Moment::PreDelete)
    }
}

/// Where the hook of that moment with that object is found: `charts.web/pre-delete:Job.batch/app/clean`.
pub fn address(component: &str, moment: Moment, key: &ObjectKey) -> Address {
    Address::new(format!("{component}/{}:{key}", moment.word()))
}

/// What is known of a hook besides its object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hook {
    /// Its place among the hooks of the same moment and component, from 0: they run one after the other.
    pub place: i64,
    /// Its object is removed after success.
    pub clear_success: bool,
    /// Its object is removed after failure.
    pub clear_failure: bool,
    /// How long it may take, seconds.
    pub timeout: i64,
    /// How long it usually takes, seconds.
    pub estimate: i64,
    /// A digest of all that the component consists of, for hooks that run when that has changed. It begins with
    /// [`KEYED`] where Secrets are part of that.
    pub rendered: Option<String>,
}

impl Hook {
    /// What the attributes of a hook, or its record, say.
    pub fn of(attrs: &Value) -> Hook {
        let number = |key| attrs.get(key).and_then(Value::as_int).unwrap_or_default();
        let flag = |key| attrs.get(key).and_then(Value::as_bool).unwrap_or_default();
        Hook {
            place: number("place"),
            clear_success: flag("clear_success"),
            clear_failure: flag("clear_failure"),
            timeout: number("timeout"),
            estimate: number("estimate"),
            rendered: attrs.get("rendered").and_then(Value::as_str).map(str::to_owned),
        }
    }

    /// Whether the component consists of the same things; `None` where that cannot be told, since one digest is keyed
    /// and the other is not.
    pub fn is_alike(&self, other: &Hook) -> Option<bool> {
        let keyed = |hook: &Hook| hook.rendered.as_ref().is_some_and(|digest| digest.starts_with(KEYED));
        (keyed(self) == keyed(other)).then(|| self.rendered == other.rendered)
    }

    /// The attributes of a hook with this object.
    pub fn attrs(&self, manifest: Value) -> Value {
        let mut map = Map::from([
            ("place".to_owned(), Value::Int(self.place)),
            ("clear_success".to_owned(), Value::Bool(self.clear_success)),
            ("clear_failure".to_owned(), Value::Bool(self.clear_failure)),
            ("timeout".to_owned(), Value::Int(self.timeout)),
            ("estimate".to_owned(), Value::Int(self.estimate)),
            (MANIFEST.to_owned(), manifest),
        ]);
        if let Some(rendered) = &self.rendered {
            map.insert("rendered".to_owned(), rendered.as_str().into());
        }
        Value::Map(map)
    }
}

/// What a digest that is keyed with the stack's key begins with.
pub const KEYED: &str = "keyed:";

/// The attribute that holds a hook's object.
pub const MANIFEST: &str = "manifest";

/// The attribute that tells one attempt to run a hook from others; only what is sent has it.
pub const ATTEMPT: &str = "attempt";

/// The Kubernetes object of a resource: its attributes, or for a hook what it runs.
pub fn object<'a>(kind: &str, attrs: &'a Value) -> Option<&'a Value> {
    match kind {
        OBJECT => Some(attrs),
        KIND => attrs.get(MANIFEST),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_the_moment_and_attributes_the_rest() {
        let key = ObjectKey::parse("Job.batch/app/clean").unwrap();
        let address = address("charts.web", Moment::PreDelete, &key);
        assert_eq!(address.as_str(), "charts.web/pre-delete:Job.batch/app/clean");
        assert_eq!(Moment::of(&address), Some(Moment::PreDelete));
        for other in ["charts.web/Job.batch/app/clean", "charts.web/x:Job.batch/app/clean", "values.a"] {
            assert_eq!(Moment::of(&Address::new(other)), None, "{other}");
        }
        let digest = |text: &str| Hook { rendered: Some(text.to_owned()), ..Hook::default() };
        assert_eq!(digest("keyed:1").is_alike(&digest("keyed:1")), Some(true));
        assert_eq!(digest("keyed:1").is_alike(&digest("keyed:2")), Some(false));
        assert_eq!(digest("1").is_alike(&digest("keyed:2")), None);
        let hook = Hook { place: 2, clear_success: true, rendered: Some("x".into()), ..Hook::default() };
        let attrs = hook.attrs(Value::map());
        assert_eq!(Hook::of(&attrs), hook);
        assert_eq!(object(KIND, &attrs), Some(&Value::map()));
    }
}

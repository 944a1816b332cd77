//! `[manifests]`: Kubernetes objects of the user's own.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::address::Address;
use crate::catalog::documents::{self, set};
use crate::catalog::expansion::{Expansion, NewObject, mistake};
use crate::catalog::pieces::cluster_scoped;
use crate::catalog::{ExpandOptions, sources};
use crate::chart::{Content, Found};
use crate::diag::{Diagnostic, Diagnostics, Source};
use crate::stack;
use crate::stack::model::Manifests;

pub(super) fn expand(expansion: &mut Expansion<'_>, options: &ExpandOptions<'_>) {
    let mut read = Vec::new();
    for (name, manifests) in &expansion.stack.manifests {
        for source in texts(expansion, name, manifests, options) {
            match documents::parse(&source.text) {
                Ok(objects) => read.push((name, manifests, source, objects)),
                Err(why) => {
                    let what = format!("{} cannot be read as manifests", source.name);
                    expansion.report(mistake(what, &manifests.span, "used here").hint(why));
                }
            }
        }
    }
    let clustered = cluster_scoped(expansion, read.iter().flat_map(|(_, _, _, objects)| objects));
    for (name, manifests, source, objects) in read {
        let component = format!("manifests.{name}");
        let namespace = manifests.namespace.as_ref().map_or("default", |namespace| &**namespace);
        let timeout = manifests.timeout.as_ref().map(|timeout| timeout.value);
        for mut manifest in objects {
            let key = documents::key(&manifest);
            let wide = documents::is_cluster_scoped(&key.group, &key.kind)
                || clustered.contains(&(key.group.clone(), key.kind.clone()));
            if !wide && key.namespace.is_none() {
                set(&mut manifest, &["metadata", "namespace"], namespace.into());
            }
            let origin = Some(source.name.as_str());
            if let Ok(address) = expansion.declare(NewObject { component: &component, manifest, origin, timeout }) {
                expansion.depending.push((address, &manifests.depends_on));
            }
        }
        expansion.offer(&component, "namespace", namespace);
    }
}

/// The texts of a table: its files, or what its address leads to.
fn texts(
    expansion: &mut Expansion<'_>,
    name: &str,
    manifests: &Manifests,
    options: &ExpandOptions<'_>,
) -> Vec<Arc<Source>> {
    let mut found = Vec::new();
    for file in &manifests.files {
        match options.loader.load(&file.span.source.name, file) {
            Ok(source) => found.push(source),
            Err(why) => expansion.report(mistake(format!("cannot read {}: {why}", &***file), &file.span, "named here")),
        }
    }
    let (Some(url), Some(wanted)) = (&manifests.url, sources::manifest(name, manifests)) else { return found };
    let (span, label) = (&url.span, "named here");
    match options.library.files(&wanted) {
        Ok(Some(Found { content: Content::Bytes(bytes), .. })) => match stack::source(url, bytes.to_vec()) {
            Ok(source) => found.push(Arc::new(source)),
            Err(Diagnostics(why)) => why.into_iter().for_each(|why| expansion.report(why)),
        },
        Ok(_) => {
            let what = format!("{} is not at hand", &***url);
            let hint = "run `stackwright lock` with this stack where there is a network: it is fetched once and kept";
            expansion.report(mistake(what, span, label).hint(hint));
        }
        Err(why) => expansion.report(mistake(why.to_string(), span, label).hint(why.hint())),
    }
    found
}

/// Edges that the user asks for; called when all components have added their objects, whichever comes first.
pub(super) fn connect(expansion: &mut Expansion<'_>) {
    let mut told = BTreeSet::new();
    for (address, on) in std::mem::take(&mut expansion.depending) {
        for dependency in on {
            let component = Address::new(&***dependency);
            let known = expansion
                .resources
                .iter()
                .any(|resource| resource.address == component || resource.address.component() == component.as_str());
            if known {
                expansion.need(&address, component, "the stack says so: depends_on");
            } else if told.insert((address.component().to_owned(), component)) {
                let what = format!("depends_on names {}, of which nothing is made", &***dependency);
                expansion.report(Diagnostic::warning(what).at(dependency.span.clone(), "has no resources"));
            }
        }
    }
}

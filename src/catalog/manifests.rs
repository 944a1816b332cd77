//! `[manifests]`: Kubernetes objects of the user's own.

use std::sync::Arc;

use sha2::Digest as _;

use crate::address::Address;
use crate::catalog::documents::{self, set};
use crate::catalog::expansion::{Expansion, NewObject, mistake};
use crate::catalog::pieces::cluster_scoped;
use crate::diag::{Diagnostic, Source};
use crate::stack::model::Manifests;
use crate::stack::{AddressText, Loader, Spanned};

pub(super) fn expand(expansion: &mut Expansion<'_>, loader: &dyn Loader) {
    let mut texts = Vec::new();
    for (name, manifests) in &expansion.stack.manifests {
        for source in sources(expansion, manifests, loader) {
            match documents::parse(&source.text) {
                Ok(objects) => texts.push((name, manifests, source, objects)),
                Err(why) => {
                    let what = format!("{} cannot be read as manifests", source.name);
                    expansion.report(mistake(what, &manifests.span, "used here").hint(why));
                }
            }
        }
    }
    let clustered = cluster_scoped(expansion, texts.iter().flat_map(|(_, _, _, objects)| objects));
    for (name, manifests, source, objects) in texts {
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
            let before = expansion.resources.len();
            let address = expansion.object(NewObject { component: &component, manifest, origin, timeout });
            if expansion.resources.len() > before {
                depend(expansion, &address, &manifests.depends_on);
            }
        }
        expansion.offer(&component, "namespace", namespace);
    }
}

/// The texts of a table: its files, or what its address leads to.
fn sources(expansion: &mut Expansion<'_>, manifests: &Manifests, loader: &dyn Loader) -> Vec<Arc<Source>> {
    let mut found = Vec::new();
    for file in &manifests.files {
        match loader.load(&file.span.source.name, file) {
            Ok(source) => found.push(source),
            Err(why) => expansion.report(mistake(format!("cannot read {}: {why}", &***file), &file.span, "named here")),
        }
    }
    let Some(url) = &manifests.url else { return found };
    match loader.load(&url.span.source.name, url) {
        Ok(source) => {
            let digest = format!("sha256:{}", hex(&sha2::Sha256::digest(source.text.as_bytes())));
            match &manifests.digest {
                Some(wanted) if *wanted.value != *digest => {
                    let what = format!("{} has another digest", &***url);
                    let hint = format!("it is {digest} now; look at the change before you write it down");
                    expansion.report(mistake(what, &wanted.span, "not this one").hint(hint));
                }
                _ => found.push(source),
            }
        }
        Err(why) => {
            let hint = "download it, keep it beside the stack and name it under `files`";
            expansion.report(mistake(format!("cannot fetch {}: {why}", &***url), &url.span, "named here").hint(hint));
        }
    }
    found
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Edges that the user asks for.
pub(super) fn depend(expansion: &mut Expansion<'_>, address: &Address, on: &[Spanned<AddressText>]) {
    for dependency in on {
        let component = Address::new(&***dependency);
        let known = expansion
            .resources
            .iter()
            .any(|resource| resource.address == component || resource.address.component() == component.as_str());
        if known {
            expansion.need(address, component, "the stack says so: depends_on");
        } else {
            let what = format!("depends_on names {}, of which nothing is made", &***dependency);
            expansion.report(Diagnostic::warning(what).at(dependency.span.clone(), "has no resources"));
        }
    }
}

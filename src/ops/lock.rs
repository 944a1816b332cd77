//! The lock file of a stack: make it, complete it, renew it, compare it, and have at hand what it names.
//!
//! Only [`Locking::complete`] changes what is locked. [`Locking::provide`], which plans and applies rest on,
//! fetches what the lock names and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use bytes::Bytes;
use futures_util::StreamExt;

use crate::chart::cache::Cache;
use crate::chart::lock::{self, Entry, Lock, LockedCapabilities, Standing};
use crate::chart::source::{Fetched, Fetcher, SourceError};
use crate::chart::{LibraryError, Wanted};
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::disk::{Disk, write_document};

/// What may be locked anew though it is locked already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Upgrade {
    /// Nothing.
    #[default]
    Nothing,
    /// Everything: to the newest that the stack allows.
    Everything,
    /// These components (`addons.istio`) or single ids (`addons.istio/base`), whatever is published now.
    Only(BTreeSet<String>),
}

impl Upgrade {
    fn names(&self, id: &str) -> bool {
        let component = id.split('/').next().unwrap_or_default();
        matches!(self, Upgrade::Only(names) if names.contains(id) || names.contains(component))
    }

    fn takes(&self, id: &str) -> bool {
        *self == Upgrade::Everything || self.names(id)
    }
}

/// What became of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    /// The lock as it is now.
    pub lock: Lock,
    /// Ids that are locked anew, changed, or gone: before and after.
    pub changes: BTreeMap<String, (Option<Entry>, Option<Entry>)>,
    /// What should be looked at.
    pub warnings: Vec<Diagnostic>,
}

/// How a lock differs from the stack or from what is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Whose.
    pub id: String,
    /// What differs.
    pub what: String,
}

/// Reads the lock of a stack file; `None` where there is none.
///
/// # Errors
/// Where it is damaged or cannot be read.
pub fn read(disk: &dyn Disk, stack_file: &Path) -> Result<Option<Lock>, Diagnostics> {
    let path = lock::path(stack_file);
    let refuse =
        |what: String, why: String, hint: &str| Err(Diagnostics::from(Diagnostic::error(what).detail(why).hint(hint)));
    let bytes = match disk.read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let what = format!("cannot read {}", path.display());
            return refuse(what, error.to_string(), "check its permissions");
        }
    };
    let hint = "restore it from version control, or delete it and run `stackwright lock`";
    let Ok(text) = String::from_utf8(bytes) else {
        return refuse(format!("{} is damaged", path.display()), "It is not UTF-8 text.".to_owned(), hint);
    };
    match Lock::decode(&text) {
        Ok(lock) => Ok(Some(lock)),
        Err(damaged) => {
            refuse(format!("{}:{}: the lock file is damaged", path.display(), damaged.line), damaged.what, hint)
        }
    }
}

/// Writes the lock of a stack file, unless it says the same already. Whether it was written.
///
/// # Errors
/// When the disk refuses.
pub fn write(disk: &dyn Disk, stack_file: &Path, lock: &Lock) -> Result<bool, Diagnostics> {
    let path = lock::path(stack_file);
    let text = lock.encode();
    if disk.read(&path).is_ok_and(|bytes| bytes == text.as_bytes()) {
        return Ok(false);
    }
    write_document(&path, text.as_bytes()).map(|()| true).map_err(|error| unwritable(&path, &error))
}

fn unwritable(path: &Path, error: &io::Error) -> Diagnostics {
    let diagnostic = Diagnostic::error(format!("cannot write {}", path.display())).detail(error.to_string());
    diagnostic.hint("make room and check the permissions of the folder").into()
}

/// What the lock says that the stack does not, and the other way round. Without a network.
pub fn compare(wanted: &[Wanted], lock: &Lock) -> Vec<Difference> {
    let mut found = Vec::new();
    for wanted in wanted.iter().filter(|wanted| wanted.is_remote()) {
        let what = match lock.standing(wanted) {
            Standing::Locked(_) => continue,
            Standing::Changed(_, why) => why,
            Standing::Missing => format!("{} is not locked", wanted.reference),
        };
        found.push(Difference { id: wanted.id.clone(), what });
    }
    let gone = lock.superfluous(wanted).into_iter();
    found
        .extend(gone.map(|id| Difference { id: id.to_owned(), what: "it is locked, and nothing wants it".to_owned() }));
    found
}

/// A lock that does not fit its stack, as an error.
pub fn unfit(differences: &[Difference], stack_file: &Path) -> Option<Diagnostics> {
    let lines = differences.iter().map(|difference| format!("{}: {}", difference.id, difference.what));
    let lines = lines.collect::<Vec<_>>();
    if lines.is_empty() {
        return None;
    }
    let what = format!("{} does not fit the stack", lock::path(stack_file).display());
    let hint = format!("run `stackwright lock {}` and review what it changes", stack_file.display());
    Some(Diagnostic::error(what).detail(lines.join("\n")).hint(hint).into())
}

/// Where things are fetched from and kept.
pub struct Locking<'a> {
    /// The way to the network.
    pub fetcher: &'a Fetcher,
    /// The disk of all caches.
    pub disk: &'a dyn Disk,
    /// Where everything that is fetched is kept.
    pub cache: &'a Cache,
    /// Where else things may be: bundles.
    pub bundles: &'a [Cache],
}

impl Locking<'_> {
    /// Locks what is wanted and not locked, or locked for something else by now; drops what nothing wants; and
    /// has everything in the cache afterwards.
    ///
    /// # Errors
    /// Everything that cannot be had; a version whose digest is another than was locked, unless it is named
    /// in [`Upgrade::Only`]. Nothing is changed then.
    pub async fn complete(
        &self,
        wanted: &[Wanted],
        before: &Lock,
        capabilities: LockedCapabilities,
        upgrade: &Upgrade,
    ) -> Result<Completed, Diagnostics> {
        let remote = wanted.iter().filter(|wanted| wanted.is_remote()).collect::<Vec<_>>();
        if let Upgrade::Only(names) = upgrade {
            unknown(names, &remote)?;
        }
        let work = remote.iter().map(|wanted| async move {
            let kept = match before.standing(wanted) {
                Standing::Locked(entry) if !upgrade.takes(&wanted.id) => Some(entry),
                _ => None,
            };
            let result = match kept {
                Some(entry) => self.at_hand(wanted, entry).await.map(|_| entry.clone()),
                None => self.renew(wanted, before.entries.get(&wanted.id), upgrade).await,
            };
            (*wanted, result)
        });
        let mut done =
            futures_util::stream::iter(work).buffer_unordered(self.fetcher.parallel()).collect::<Vec<_>>().await;
        done.sort_by(|a, b| a.0.id.cmp(&b.0.id));
        let (mut entries, mut mistakes, mut warnings) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (wanted, result) in done {
            match result {
                Ok(entry) => {
                    warnings.extend(republished(&wanted.id, before.entries.get(&wanted.id), &entry));
                    entries.insert(wanted.id.clone(), entry);
                }
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if !mistakes.is_empty() {
            return Err(Diagnostics(mistakes));
        }
        let ids = before.entries.keys().chain(entries.keys()).cloned().collect::<BTreeSet<_>>();
        let change = |id: String| (before.entries.get(&id).cloned(), entries.get(&id).cloned(), id);
        let changes = ids.into_iter().map(change).filter(|(before, after, _)| before != after);
        let changes = changes.map(|(before, after, id)| (id, (before, after))).collect();
        let known = before.capabilities.clone().filter(|_| *upgrade != Upgrade::Everything);
        let same_minor = |known: &LockedCapabilities| known.kubernetes == capabilities.kubernetes;
        let capabilities = known.filter(same_minor).unwrap_or(capabilities);
        let lock = Lock { capabilities: Some(capabilities), entries };
        Ok(Completed { lock, changes, warnings })
    }

    /// Fetches what the lock names and is not at hand. `elsewhere` says what is at hand in other ways.
    ///
    /// # Errors
    /// What cannot be had, and what is published now with another digest.
    pub async fn provide(
        &self,
        wanted: &[Wanted],
        lock: &Lock,
        elsewhere: impl Fn(&Wanted) -> Result<bool, LibraryError>,
    ) -> Result<(), Diagnostics> {
        let mut missing = Vec::new();
        for wanted in wanted.iter().filter(|wanted| wanted.is_remote()) {
            let there = elsewhere(wanted).map_err(|why| Diagnostic::error(why.to_string()).hint(why.hint()))?;
            if let (false, Standing::Locked(entry)) = (there, lock.standing(wanted)) {
                missing.push((wanted, entry));
            }
        }
        let work = missing.into_iter().map(|(wanted, entry)| self.at_hand(wanted, entry));
        let done = futures_util::stream::iter(work).buffer_unordered(self.fetcher.parallel()).collect::<Vec<_>>().await;
        let mut mistakes = done.into_iter().filter_map(Result::err).collect::<Vec<_>>();
        mistakes.sort_by(|a, b| a.summary.cmp(&b.summary));
        if mistakes.is_empty() { Ok(()) } else { Err(Diagnostics(mistakes)) }
    }

    /// What is published now with another digest than is locked, or cannot be found any more.
    ///
    /// # Errors
    /// What cannot be asked.
    pub async fn check(&self, wanted: &[Wanted], lock: &Lock) -> Result<Vec<Difference>, Diagnostics> {
        let asked = wanted.iter().filter_map(|wanted| match lock.standing(wanted) {
            Standing::Locked(entry) if wanted.is_remote() => Some((wanted, entry)),
            _ => None,
        });
        let work = asked.map(|(wanted, entry)| async move {
            (wanted, entry, self.fetcher.published(&wanted.reference, entry).await)
        });
        let mut done =
            futures_util::stream::iter(work).buffer_unordered(self.fetcher.parallel()).collect::<Vec<_>>().await;
        done.sort_by(|a, b| a.0.id.cmp(&b.0.id));
        let (mut differences, mut mistakes) = (Vec::new(), Vec::new());
        for (wanted, entry, result) in done {
            let id = wanted.id.clone();
            match result {
                Ok(published) if published.digest == entry.digest => {}
                Ok(published) => {
                    let what = format!("{} is locked, and {} is published", entry.digest, published.digest);
                    differences.push(Difference { id, what });
                }
                Err(error) if error.fault == crate::chart::source::Fault::Missing => {
                    differences.push(Difference { id, what: format!("it is not published any more: {error}") });
                }
                Err(error) => mistakes.push(error.diagnostic(&id)),
            }
        }
        if mistakes.is_empty() { Ok(differences) } else { Err(Diagnostics(mistakes)) }
    }

    /// Puts everything that the lock names into `bundle`, from the cache.
    ///
    /// # Errors
    /// When something is not in the cache, or the disk refuses.
    pub async fn bundle(&self, wanted: &[Wanted], lock: &Lock, bundle: &Cache) -> Result<usize, Diagnostics> {
        let mut written = BTreeSet::new();
        for wanted in wanted {
            let Standing::Locked(entry) = lock.standing(wanted) else { continue };
            let bytes = self.at_hand(wanted, entry).await?;
            bundle.put(self.disk, &bytes).map_err(|error| unwritable(bundle.folder(), &error))?;
            written.insert(&entry.digest);
        }
        Ok(written.len())
    }

    /// Something locked: from a bundle or the cache, else fetched and kept.
    async fn at_hand(&self, wanted: &Wanted, entry: &Entry) -> Result<Bytes, Diagnostic> {
        for shelf in self.bundles.iter().chain([self.cache]) {
            // A cache that cannot be read is no reason to stop: what it holds can be fetched.
            if let Ok(Some(bytes)) = shelf.get(self.disk, &entry.digest) {
                return Ok(bytes);
            }
        }
        let bytes = self.fetcher.fetch(&wanted.reference, entry).await.map_err(|error| error.diagnostic(&wanted.id))?;
        self.keep(&wanted.id, &bytes)?;
        Ok(bytes)
    }

    fn keep(&self, id: &str, bytes: &[u8]) -> Result<(), Diagnostic> {
        self.cache.put(self.disk, bytes).map(drop).map_err(|error| {
            let what = format!("{id}: cannot keep it in {}", self.cache.folder().display());
            Diagnostic::error(what)
                .detail(error.to_string())
                .hint("make room, or choose another folder with STACKWRIGHT_CACHE")
        })
    }

    /// The newest that is allowed, which must not be a version that is locked with other bytes.
    async fn renew(&self, wanted: &Wanted, before: Option<&Entry>, upgrade: &Upgrade) -> Result<Entry, Diagnostic> {
        let Fetched { entry, bytes } =
            self.fetcher.resolve(wanted).await.map_err(|error: SourceError| error.diagnostic(&wanted.id))?;
        if let Some(before) = before
            && is_same_release(before, &entry)
            && before.digest != entry.digest
            && !upgrade.names(&wanted.id)
            // Where the stack itself names a digest, changing it there says that it was looked at.
            && wanted.digest.is_none()
        {
            let name = entry.version.as_deref().unwrap_or("its content");
            let what = format!("{}: {name} was published again with another content", wanted.id);
            let detail = format!("{}\nlocked:    {}\npublished: {}", entry.reference, before.digest, entry.digest);
            let hint = format!(
                "find out why; if it is meant to be so: stackwright lock --upgrade {}",
                wanted.id.split('/').next().unwrap_or_default()
            );
            return Err(Diagnostic::error(what).detail(detail).hint(hint));
        }
        self.keep(&wanted.id, &bytes)?;
        Ok(entry)
    }
}

fn is_same_release(a: &Entry, b: &Entry) -> bool {
    a.reference == b.reference && a.version == b.version
}

fn republished(id: &str, before: Option<&Entry>, after: &Entry) -> Option<Diagnostic> {
    let before = before.filter(|before| is_same_release(before, after) && before.digest != after.digest)?;
    let what = format!("{id} has another content than before, under the same name");
    Some(Diagnostic::warning(what).detail(format!("before: {}\nnow:    {}", before.digest, after.digest)))
}

/// Refuses names that nothing goes by.
fn unknown(names: &BTreeSet<String>, wanted: &[&Wanted]) -> Result<(), Diagnostics> {
    let ids = wanted.iter().map(|wanted| wanted.id.as_str());
    let known = ids.flat_map(|id| [id, id.split('/').next().unwrap_or_default()]).collect::<BTreeSet<_>>();
    let unknown = names.iter().filter(|name| !known.contains(name.as_str()));
    let mistakes = unknown.map(|name| {
        let mistake = Diagnostic::error(format!("nothing of {name} is locked"));
        match crate::diag::suggest(name, known.iter().copied()) {
            Some(close) => mistake.hint(format!("did you mean {close}?")),
            None => mistake.hint("name a component whose charts or manifests come from elsewhere, such as charts.NAME"),
        }
    });
    let mistakes = mistakes.collect::<Vec<_>>();
    if mistakes.is_empty() { Ok(()) } else { Err(Diagnostics(mistakes)) }
}

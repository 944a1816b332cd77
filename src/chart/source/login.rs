//! Logins to OCI registries, as `docker login` and `helm registry login` keep them: base64 in a file. Logins that
//! a credential helper keeps are not read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use serde::Deserialize;

use crate::env::disk::Disk;
use crate::env::vars::Vars;

/// Logins by host.
#[derive(Clone, Default)]
pub struct Logins(BTreeMap<String, String>);

/// Hosts only: the rest is secret.
impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
}

#[derive(Deserialize)]
struct Auth {
    auth: Option<String>,
}

impl Logins {
    /// No logins.
    pub fn none() -> Logins {
        Logins::default()
    }

    /// Those of Docker's and Helm's files; Helm's win. A file that cannot be read holds none.
    pub fn of_environment(vars: &dyn Vars, disk: &dyn Disk) -> Logins {
        let set = |name: &str| vars.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = set("HOME").or_else(|| set("USERPROFILE"));
        let below = |folder: &str| home.as_ref().map(|home| home.join(folder));
        let docker = set("DOCKER_CONFIG").or_else(|| below(".docker")).map(|folder| folder.join("config.json"));
        let helm = set("HELM_REGISTRY_CONFIG").or_else(|| {
            let config = set("XDG_CONFIG_HOME").or_else(|| below(".config"))?;
            Some(config.join("helm").join("registry").join("config.json"))
        });
        let mut logins = Logins::none();
        for path in [docker, helm].into_iter().flatten() {
            if let Ok(bytes) = disk.read(&path) {
                logins.read(&bytes);
            }
        }
        logins
    }

    fn read(&mut self, bytes: &[u8]) {
        let Ok(file) = serde_json::from_slice::<File>(bytes) else { return };
        for (host, auth) in file.auths {
            let Some(auth) = auth.auth.filter(|auth| !auth.is_empty()) else { continue };
            let pair = STANDARD.decode(auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            if pair.is_some_and(|pair| pair.contains(':')) {
                self.0.insert(plain_host(&host).to_owned(), auth.trim().to_owned());
            }
        }
    }

    /// The `Authorization` header for a host.
    pub(super) fn basic(&self, host: &str) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Basic {}", self.0.get(plain_host(host))?)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// `https://index.docker.io/v1/` is what Docker calls `docker.io`, which is served by `registry-1.docker.io`.
fn plain_host(text: &str) -> &str {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    match text.split('/').next().unwrap_or_default() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::env::memory_disk::MemoryDisk;

    #[test]
    fn logins_of_files_are_found_and_never_shown() {
        let disk = MemoryDisk::new();
        let auth = STANDARD.encode("me:word");
        let file = format!(
            r#"{{"auths": {{"quay.io": {{"auth": "{auth}"}}, "https://index.docker.io/v1/": {{"auth": "{auth}"}},
               "helper.example": {{}}, "bad.example": {{"auth": "%%"}}}}, "credsStore": "desktop"}}"#
        );
        disk.write(Path::new("/h/.docker/config.json"), file.as_bytes()).expect("room");
        let vars = BTreeMap::from([("HOME".to_owned(), "/h".to_owned())]);
        let logins = Logins::of_environment(&vars, &disk);
        let header = logins.basic("quay.io").expect("a login");
        assert_eq!(header.to_str().ok(), Some(format!("Basic {auth}").as_str()));
        assert!(header.is_sensitive() && !format!("{logins:?} {header:?}").contains(&auth));
        assert!(logins.basic("docker.io").is_some() && logins.basic("registry-1.docker.io").is_some());
        assert!(logins.basic("helper.example").is_none() && logins.basic("bad.example").is_none());
        disk.write(Path::new("/h/.config/helm/registry/config.json"), b"not JSON").expect("room");
        assert!(Logins::of_environment(&vars, &disk).basic("quay.io").is_some());
    }
}

//! The variables with which gcloud, kubectl and other official clients work against a simulator.

use std::io;
use std::path::Path;

use crate::env::disk::Disk;

/// The project that clients use unless they name one.
pub const PROJECT: &str = "stackwright-sim";

/// The variables for a simulator at `url` (`http://127.0.0.1:40000`). Writes a token file to `directory`, where
/// gcloud's configuration and a kubeconfig are kept too, away from the user's own.
///
/// # Errors
/// When the token file cannot be written.
pub fn environment(disk: &dyn Disk, url: &str, directory: &Path) -> io::Result<Vec<(String, String)>> {
    let token = directory.join("token");
    disk.write(&token, b"simulated-token\n")?;
    let url = url.trim_end_matches('/');
    let inside = |name: &str| directory.join(name).display().to_string();
    let mut out: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: String| out.push((name.to_owned(), value));
    for (api, path) in [
        ("CONTAINER", "/"),
        ("SERVICEUSAGE", "/"),
        ("CLOUDRESOURCEMANAGER", "/"),
        ("CLOUDQUOTAS", "/"),
        ("COMPUTE", "/compute/v1/"),
        ("STORAGE", "/storage/v1/"),
    ] {
        set(&format!("CLOUDSDK_API_ENDPOINT_OVERRIDES_{api}"), format!("{url}{path}"));
    }
    set("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", token.display().to_string());
    set("CLOUDSDK_CONFIG", inside("gcloud"));
    set("CLOUDSDK_CORE_DISABLE_PROMPTS", "1".to_owned());
    set("CLOUDSDK_CORE_PROJECT", PROJECT.to_owned());
    set("CLOUDSDK_CORE_SHOULD_PROMPT_TO_ENABLE_API", "false".to_owned());
    set("CLOUDSDK_CORE_DISABLE_USAGE_REPORTING", "true".to_owned());
    set("CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", "true".to_owned());
    set("GOOGLE_CLOUD_PROJECT", PROJECT.to_owned());
    set("KUBECONFIG", inside("kubeconfig"));
    // Addresses of load balancers are reached through the simulator; its own ports are not.
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"] {
        set(name, url.to_owned());
    }
    for name in ["NO_PROXY", "no_proxy"] {
        set(name, "127.0.0.1,localhost".to_owned());
    }
    set("STACKWRIGHT_SIM_URL", url.to_owned());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::disk::RealDisk;

    #[test]
    fn the_token_is_where_the_variable_says() {
        let directory = tempfile::tempdir().expect("tempdir");
        let all = environment(&RealDisk, "http://127.0.0.1:1/", directory.path()).expect("written");
        let value = |name: &str| all.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap_or_default();
        assert_eq!(value("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"), "http://127.0.0.1:1/compute/v1/");
        let token = RealDisk.read(Path::new(&value("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"))).expect("token");
        assert!(!token.is_empty());
    }
}

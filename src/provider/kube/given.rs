//! A cluster that a kubeconfig leads to, with whatever login it names: client certificate, token, token file,
//! exec plugin, proxies.
//!
//! Reading and renewing is the `kube` crate's; here is what it may not do (talk to a server without verifying
//! it) and what a person is told when it cannot.

use std::path::PathBuf;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::transport;
use crate::resource::error::{ErrorClass, ProviderError};

/// Which cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The kubeconfig file.
    pub path: PathBuf,
    /// The context in it; by default its current one.
    pub context: Option<String>,
}

impl Given {
    fn refused(&self, text: &str) -> ProviderError {
        ProviderError::new(ErrorClass::Invalid, format!("kubeconfig {}: {text}", self.path.display()))
    }

    /// A client with a fresh login: files are read and plugins run again.
    ///
    /// # Errors
    /// [`ErrorClass::Invalid`] when the file does not lead to a cluster, [`ErrorClass::Unauthenticated`] when
    /// the login that it names cannot be had.
    pub(super) async fn client(&self) -> Result<kube::Client, ProviderError> {
        let kubeconfig = Kubeconfig::read_from(&self.path).map_err(|error| self.unreadable(&error))?;
        let contexts = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect::<Vec<_>>();
        let wanted = self.context.clone().or_else(|| kubeconfig.current_context.clone());
        match &wanted {
            None => {
                return Err(self
                    .refused("it has no current context")
                    .hint(format!("name one with `context`: {}", contexts.join(", "))));
            }
            Some(wanted) if !contexts.contains(wanted) => {
                let hint = match crate::diag::suggest(wanted, contexts.iter().map(String::as_str)) {
                    Some(close) => format!("did you mean \"{close}\"?"),
                    None => format!("it has: {}", contexts.join(", ")),
                };
                return Err(self.refused(&format!("it has no context \"{wanted}\"")).hint(hint));
            }
            Some(_) => {}
        }
        let options = KubeConfigOptions { context: wanted, ..KubeConfigOptions::default() };
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(|error| self.unreadable(&error))?;
        if config.accept_invalid_certs {
            return Err(self
                .refused("it says insecure-skip-tls-verify, so anyone could play this cluster")
                .hint("give the cluster's certificate-authority-data instead; kubectl config set-cluster … --certificate-authority"));
        }
        if config.cluster_url.scheme_str() != Some("https") && !is_loopback(&config.cluster_url) {
            return Err(self
                .refused(&format!("{} is not encrypted", config.cluster_url))
                .hint("use its https address"));
        }
        // The client would break off at such a token, and say so in the middle of everything.
        let login = serde_json::to_value(&config.auth_info).unwrap_or_default();
        let is_header = |token: &str| http::HeaderValue::from_str(token).is_ok();
        if !login["token"].as_str().is_none_or(is_header) {
            return Err(self
                .refused("its token has characters that no token has, such as a line feed")
                .hint("give the token as one line"));
        }
        let plugin = config.auth_info.exec.as_ref().and_then(|exec| exec.command.clone());
        // Exec plugins are programs: they must not hold up the one thread of the run.
        let built = tokio::task::spawn_blocking(move || transport::client(config)).await;
        match built {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error)) => Err(self.no_login(plugin.as_deref(), &error)),
            Err(_) => Err(self.no_login(None, &"the credential plugin broke off")),
        }
    }

    fn unreadable(&self, error: &KubeconfigError) -> ProviderError {
        let error = match error {
            KubeconfigError::ReadConfig(cause, _) => self.refused(&format!("it cannot be read: {cause}")),
            other => {
                // Further lines would quote the file, and with it a login.
                let text = crate::provider::google::error::chain(other);
                self.refused(text.lines().next().unwrap_or_default())
            }
        };
        error.hint("`kubectl --kubeconfig FILE config view` shows what it says")
    }

    /// What a plugin was given or printed may hold a token, so of its failure only its name and status are told.
    fn no_login(&self, plugin: Option<&str>, error: &dyn std::fmt::Display) -> ProviderError {
        let text = error.to_string();
        let status = text.split(": Output {").next().unwrap_or_default().rsplit_once("' failed with status ");
        let ran = plugin.zip(status).map(|(plugin, (_, status))| format!("the plugin {plugin} failed: {status}"));
        let text = ran.unwrap_or_else(|| text.lines().next().unwrap_or_default().to_owned());
        ProviderError::new(
            ErrorClass::Unauthenticated,
            format!("kubeconfig {}: its login cannot be had: {text}", self.path.display()),
        )
        .hint("run `kubectl --kubeconfig FILE get namespaces` to see whether the login works at all")
    }
}

fn is_loopback(uri: &http::Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn open(text: &str, context: Option<&str>) -> Result<kube::Client, ProviderError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("config");
        std::fs::write(&path, text).expect("written");
        Given { path, context: context.map(str::to_owned) }.client().await
    }

    fn file(server: &str, cluster: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
             contexts: [{{name: here, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: \"{server}\"{cluster}}}}}]\n\
             users: [{{name: u, user: {{{user}}}}}]\n"
        )
    }

    fn run(text: &str, context: Option<&str>) -> Result<(), ProviderError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(open(text, context)).map(|_| ())
    }

    #[test]
    fn a_good_file_needs_nobody_to_answer() {
        run(&file("https://127.0.0.1:1", "", "token: secret"), None).expect("a client");
        run(&file("http://localhost:8001", "", ""), Some("here")).expect("kubectl proxy");
    }

    #[test]
    fn what_cannot_work_is_said_with_a_way_out() {
        let message = |result: Result<(), ProviderError>| {
            let error = result.expect_err("refused");
            format!("{} ({})", error.message, error.hint.unwrap_or_default())
        };
        let good = file("https://127.0.0.1:1", "", "token: t0ken");
        assert!(message(run(&good, Some("hers"))).contains("did you mean \"here\"?"));
        let unchecked = file("https://127.0.0.1:1", ", insecure-skip-tls-verify: true", "token: t0ken");
        assert!(message(run(&unchecked, None)).contains("insecure-skip-tls-verify"));
        assert!(message(run(&file("http://10.0.0.1", "", ""), None)).contains("not encrypted"));
        assert!(message(run("a: [", None)).contains("kubectl --kubeconfig"));
        let torn = message(run(&file("https://127.0.0.1:1", "", "token: [t0ken]"), None));
        assert!(torn.contains("expected string") && !torn.contains("t0ken"), "{torn}");
        let torn = message(run(&file("https://127.0.0.1:1", "", "token: \"t0ken\\nt0ken\""), None));
        assert!(torn.contains("line feed") && !torn.contains("t0ken"), "{torn}");
        let plugin = "exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, args: [\"-c\", \"echo t0ken; exit 3\"], env: [{name: WORD, value: t0ken}], interactiveMode: Never}";
        let failed = message(run(&file("https://127.0.0.1:1", "", plugin), None));
        assert!(failed.contains("exit status: 3"), "{failed}");
        assert!(
            failed.contains("the plugin sh") && !failed.contains("t0ken") && !failed.contains("stdout"),
            "{failed}"
        );
    }
}

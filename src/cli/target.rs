//! Which server `verify` and `bench` are about: a workload of a stack, or any URL.

use std::path::PathBuf;

use clap::Args;

use crate::cli::args::{BundleArgs, StackArgs};
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::disk::{Disk, RealDisk};
use crate::env::vars::Vars;
use crate::platform::models::Endpoint;

/// A stack, or a URL.
#[derive(Debug, Args, Clone)]
pub(super) struct TargetArgs {
    #[command(flatten)]
    pub stack: StackArgs,
    #[command(flatten)]
    pub charts: BundleArgs,
    /// Ask this server of the OpenAI API, without any stack: https://HOST/PATH, without /v1.
    #[arg(long, value_name = "URL", conflicts_with_all = ["vars", "var_files", "bundle"])]
    pub endpoint: Option<String>,
    /// Trust the CA in this PEM file, in place of the system's; only with --endpoint.
    #[arg(long, value_name = "FILE", requires = "endpoint")]
    pub ca: Option<PathBuf>,
    /// Check the certificate against this name in place of the URL's host; only with --endpoint.
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    pub server_name: Option<String>,
    /// The environment variable that holds the API key; only with --endpoint.
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    pub api_key_env: Option<String>,
    /// The model to ask for; by default the first that the server lists. Only with --endpoint.
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    pub model: Option<String>,
}

impl TargetArgs {
    /// The server that the flags name; `None` for the stack's.
    pub(super) fn endpoint(&self, vars: &dyn Vars) -> Result<Option<Endpoint>, Diagnostics> {
        let Some(url) = &self.endpoint else { return Ok(None) };
        let ca_pem = match &self.ca {
            None => None,
            Some(path) => {
                let bytes = RealDisk.read(path).map_err(|error| {
                    let diagnostic = Diagnostic::error(format!("cannot read the CA {}", path.display()));
                    Diagnostics::from(diagnostic.detail(error.to_string()).hint("give a PEM file with --ca"))
                })?;
                Some(String::from_utf8_lossy(&bytes).into_owned())
            }
        };
        let api_key = match &self.api_key_env {
            None => None,
            Some(name) => Some(vars.get(name).filter(|key| !key.is_empty()).ok_or_else(|| {
                Diagnostics::from(
                    Diagnostic::error(format!("the environment variable {name} is not set"))
                        .hint("put the API key into it: a flag would show it to everyone on this machine"),
                )
            })?),
        };
        Ok(Some(Endpoint { url: url.clone(), ca_pem, server_name: self.server_name.clone(), api_key, through: None }))
    }
}

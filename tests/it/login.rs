//! Logins that do not work, as the program meets them: files in a home folder, sign-in services on this machine. Each is
//! named with what to type, and nothing takes longer than the ten seconds that a login may.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Answers every request with this status and body; its address.
fn sign_in_service(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                stream.set_read_timeout(Some(Duration::from_millis(300))).ok();
                let mut request = [0; 16384];
                // One read has the head at least, and that is all that is needed here.
                let _ = stream.read(&mut request);
                let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n");
                let _ = stream.write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes());
            });
        }
    });
    format!("http://{address}")
}

/// What a status of a stack on Google Cloud says with this login, and how long it took.
fn said(login: Option<&str>, vars: &[(&str, &str)]) -> (String, Duration) {
    let folder = tempfile::tempdir().expect("tempdir");
    let home = folder.path();
    std::fs::write(
        home.join("stack.toml"),
        "name = \"demo\"\n[cluster]\nproject = \"demo-project\"\nlocation = \"europe-west4-a\"\n",
    )
    .expect("written");
    if let Some(text) = login {
        let path = Path::new(home).join(".config/gcloud/application_default_credentials.json");
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }
    let begun = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_stackwright"))
        .args(["status", "stack.toml"])
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .envs(vars.iter().copied())
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = said.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>();
    (text.join(" "), begun.elapsed())
}

fn user(token_uri: &str) -> String {
    format!(
        r#"{{"type": "authorized_user", "client_id": "c", "client_secret": "SECRET-1", "refresh_token": "SECRET-2", "token_uri": "{token_uri}"}}"#
    )
}

#[test]
fn a_login_that_has_expired() {
    let url = sign_in_service(
        "400 Bad Request",
        r#"{"error": "invalid_grant", "error_description": "Token has been expired or revoked."}"#,
    );
    let (text, _) = said(Some(&user(&url)), &[]);
    assert!(text.contains("the user's login has expired or was revoked"), "{text}");
    assert!(text.contains("help: gcloud auth application-default login"), "{text}");
    assert!(!text.contains("SECRET"), "{text}");
}

#[test]
fn an_impersonation_that_is_denied() {
    let token = sign_in_service("200 OK", r#"{"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}"#);
    let denied = sign_in_service(
        "403 Forbidden",
        r#"{"error": {"code": 403, "message": "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).", "status": "PERMISSION_DENIED"}}"#,
    );
    let login = format!(
        r#"{{"type": "impersonated_service_account", "service_account_impersonation_url": "{denied}/v1/projects/-/serviceAccounts/ci@p.iam.gserviceaccount.com:generateAccessToken", "source_credentials": {}}}"#,
        user(&token)
    );
    let (text, _) = said(Some(&login), &[]);
    assert!(text.contains("this login may not act as ci@p.iam.gserviceaccount.com"), "{text}");
    assert!(text.contains("roles/iam.serviceAccountTokenCreator"), "{text}");
}

#[test]
fn a_workload_whose_token_is_not_there_or_not_wanted() {
    let login = |sts: &str, file: &str| {
        format!(
            r#"{{"type": "external_account", "audience": "//iam.googleapis.com/x", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "{sts}", "credential_source": {{"file": "{file}"}}}}"#
        )
    };
    let (text, _) = said(Some(&login("http://127.0.0.1:1", "/nowhere/token")), &[]);
    assert!(text.contains("wants the workload's token in /nowhere/token"), "{text}");
    let sts = sign_in_service(
        "400 Bad Request",
        r#"{"error": "unauthorized_client", "error_description": "The given credential is rejected by the attribute condition."}"#,
    );
    let folder = tempfile::tempdir().expect("tempdir");
    let token = folder.path().join("token");
    std::fs::write(&token, "jwt").expect("written");
    let (text, _) = said(Some(&login(&sts, &token.display().to_string())), &[]);
    assert!(text.contains("workload identity federation was refused"), "{text}");
}

#[test]
fn no_login_and_a_file_that_is_not_there() {
    let (text, _) = said(None, &[("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")]);
    assert!(text.contains("GOOGLE_APPLICATION_CREDENTIALS names /nowhere/key.json, which is not there"), "{text}");
    // Nobody answers there, as nobody answers for metadata.google.internal outside Google.
    let (text, took) = said(None, &[("GCE_METADATA_HOST", "127.0.0.1:1")]);
    assert!(text.contains("no metadata server answers"), "{text}");
    assert!(text.contains("gcloud auth application-default login"), "{text}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

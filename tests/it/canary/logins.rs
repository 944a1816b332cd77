//! Logins that a run is given by files and variables, for places that refuse them and say back all that they were sent.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Mutex;

use serde_json::json;

use super::Watch;

/// Serves 403 with the whole request in the answer; to whoever gives no login, a demand for one. The address.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: std::net::TcpStream) {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    let (status, header) = match text.to_lowercase().contains("\r\nauthorization:") {
        true => ("403 Forbidden", ""),
        false => ("401 Unauthorized", "www-authenticate: Basic realm=\"it\"\r\n"),
    };
    let length = text.len();
    let head = format!("HTTP/1.1 {status}\r\n{header}content-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all(format!("{head}{text}").as_bytes()).ok();
}

const STACK: &str = "
name = \"demo\"
[state]
backend = \"PLACE\"
[values.a]
input = \"x\"
";

#[test]
fn no_login_is_ever_seen() {
    let folder = tempfile::tempdir().expect("folder");
    let mut watch =
        Watch { folder: folder.path(), variables: BTreeMap::new(), canaries: Vec::new(), seen: Mutex::default() };
    let address = echo();
    let server = format!("http://{address}");
    let names = ["account key", "sas", "secret key", "session", "google key", "registry", "address"];
    let [account, sas, secret, session, google, registry, within] = names.map(|name| watch.canary(name).plain());
    let base64 = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", base64(&google));
    let login = |key: &str| {
        let login = json!({"private_key": key, "client_email": "a@b", "private_key_id": "k", "gcs_base_url": server});
        login.to_string()
    };
    let azure =
        [("AZURE_STORAGE_ACCOUNT_NAME", "it"), ("AZURE_ALLOW_HTTP", "true"), ("AZURE_STORAGE_ENDPOINT", &server)];
    let amazon = [("AWS_ALLOW_HTTP", "true"), ("AWS_ACCESS_KEY_ID", "it"), ("AWS_SECRET_ACCESS_KEY", &secret)];
    let inside = format!("http://me:{within}@{address}");
    let cases: Vec<(&str, Vec<(&str, String)>)> = vec![
        ("az", vec![("AZURE_STORAGE_ACCOUNT_KEY", base64(&account))]),
        ("az", vec![("AZURE_STORAGE_ACCOUNT_KEY", format!("{account}!"))]),
        ("az", vec![("AZURE_STORAGE_SAS_KEY", format!("sv=1&sig={sas}"))]),
        ("az", vec![("AZURE_STORAGE_SAS_KEY", sas)]),
        ("az", vec![("AZURE_STORAGE_TOKEN", account)]),
        ("s3", vec![("AWS_ENDPOINT", server.clone()), ("AWS_SESSION_TOKEN", session)]),
        ("s3", vec![("AWS_ENDPOINT", inside)]),
        ("s3", vec![("AWS_ENDPOINT", server.clone()), ("AWS_ACCESS_KEY_ID", format!("\n{secret}"))]),
        ("gs", vec![("GOOGLE_SERVICE_ACCOUNT_KEY", login(&pem))]),
        ("gs", vec![("GOOGLE_SERVICE_ACCOUNT_KEY", login(&google))]),
        ("gs", vec![("GOOGLE_SERVICE_ACCOUNT_KEY", format!("{{\"private_key\": {google}"))]),
        ("gs", vec![("GOOGLE_SERVICE_ACCOUNT_KEY", format!("{{\"private_key\": [\"{google}\"]}}"))]),
    ];
    for (scheme, case) in cases {
        std::fs::write(folder.path().join("stack.toml"), STACK.replace("PLACE", &format!("{scheme}://states/x")))
            .expect("written");
        let service = if scheme == "az" { &azure } else { &amazon };
        watch.variables = service.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        watch.variables.extend(case.into_iter().map(|(name, value)| (name.to_owned(), value)));
        for words in ["plan stack.toml", "lease list stack.toml"] {
            watch.fails(words, "states/x");
        }
    }

    // An address is no place for a login; whoever writes one there all the same does not see it again.
    watch.variables.clear();
    for place in ["s3", "gs", "https", "ftp"] {
        let stack = STACK.replace("PLACE", &format!("{place}://me:{within}@states/x"));
        std::fs::write(folder.path().join("stack.toml"), stack).expect("written");
        watch.fails("plan stack.toml", "is not a place for state");
        watch.run("validate stack.toml --json");
    }
    for (scheme, rest) in [("https", "charts"), ("oci", "charts/a"), ("git+https", "o/r//a?ref=v1")] {
        let source = format!("{scheme}://me:{within}@{address}/{rest}");
        let chart = if scheme == "https" { "chart = \"a\"\n" } else { "" };
        let stack = "name = \"demo\"\n[cluster]\nkubeconfig = \"none\"\n[charts.a]\nversion = \"1.0.0\"\n";
        std::fs::write(folder.path().join("stack.toml"), format!("{stack}{chart}source = \"{source}\"\n"))
            .expect("written");
        watch.fails("plan stack.toml", "a login does not belong into an address");
        watch.run("lock stack.toml");
        watch.fails(&format!("chart pull {source}"), "a login does not belong into an address");
        watch.run(&format!("chart show all {source}"));
    }

    // A registry that refuses, and shows what it was sent.
    let auths = json!({"auths": {&address: {"auth": base64(&format!("me:{registry}"))}}});
    std::fs::write(folder.path().join("config.json"), auths.to_string()).expect("written");
    watch.variables.insert("DOCKER_CONFIG".to_owned(), folder.path().display().to_string());
    let stack = "name = \"demo\"\n[cluster]\nkubeconfig = \"none\"\n[charts.a]\nversion = \"1.0.0\"\n";
    let stack = format!("{stack}source = \"oci://{address}/charts/a\"\n");
    std::fs::write(folder.path().join("stack.toml"), stack).expect("written");
    watch.fails("lock stack.toml", "does not let us read");
    watch.search(&["config.json", "stack.toml"]);
    watch.finish();
}

//! Requests to an API server that go past stackwright: what a test prepares, looks up, or spoils.

use std::time::{Duration, Instant};

use reqwest::{Certificate, Client, Method};
use serde_json::Value as Json;

/// An API server, as an administrator.
#[derive(Clone)]
pub struct Api {
    server: String,
    ca: String,
    token: String,
    client: Client,
}

impl Api {
    pub fn new(server: &str, ca_pem: &str, token: &str) -> Api {
        rustls::crypto::ring::default_provider().install_default().ok();
        let ca = Certificate::from_pem(ca_pem.as_bytes()).expect("a certificate");
        // Every request has a runtime of its own: a connection kept from an earlier one would have nobody to drive it.
        let client =
            Client::builder().no_proxy().tls_certs_only([ca]).pool_max_idle_per_host(0).build().expect("client");
        Api { server: server.to_owned(), ca: ca_pem.to_owned(), token: token.to_owned(), client }
    }

    /// Its address.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Its authority, PEM.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// A client that trusts it.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// One request: code and answer.
    pub fn send(&self, method: Method, path: &str, content: &str, body: Option<&Json>) -> (u16, Json) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async {
            let mut request = self.client.request(method, format!("{}{path}", self.server)).bearer_auth(&self.token);
            if let Some(body) = body {
                request = request.header("content-type", content).body(body.to_string());
            }
            match request.send().await {
                Ok(answer) => {
                    let code = answer.status().as_u16();
                    (code, answer.json().await.unwrap_or_default())
                }
                Err(_) => (0, Json::Null),
            }
        })
    }

    /// A GET that must succeed, now or when the server has got over its own changes.
    pub fn get(&self, path: &str) -> Json {
        let begun = Instant::now();
        loop {
            let (code, answer) = self.send(Method::GET, path, "", None);
            if (200..300).contains(&code) {
                return answer;
            }
            let passing = matches!(code, 429 | 503) && begun.elapsed() < Duration::from_secs(20);
            assert!(passing, "GET {path}: {code} {answer}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// A POST of JSON that must succeed.
    pub fn post(&self, path: &str, body: &Json) -> Json {
        let (code, answer) = self.send(Method::POST, path, "application/json", Some(body));
        assert!((200..300).contains(&code), "POST {path}: {code} {answer}");
        answer
    }

    /// A merge patch that must succeed.
    pub fn patch(&self, path: &str, body: &Json) -> Json {
        let (code, answer) = self.send(Method::PATCH, path, "application/merge-patch+json", Some(body));
        assert!((200..300).contains(&code), "PATCH {path}: {code} {answer}");
        answer
    }

    /// Waits until a GET answers 2xx and what it answers is wanted.
    pub fn wait(&self, path: &str, limit: Duration, wanted: impl Fn(&Json) -> bool) {
        let begun = Instant::now();
        loop {
            let (code, answer) = self.send(Method::GET, path, "", None);
            if (200..300).contains(&code) && wanted(&answer) {
                return;
            }
            assert!(begun.elapsed() < limit, "GET {path}: {code} {answer}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until a GET answers that there is nothing.
    pub fn gone(&self, path: &str) {
        let begun = Instant::now();
        while self.send(Method::GET, path, "", None).0 != 404 {
            assert!(begun.elapsed() < Duration::from_secs(60), "{path} is still there");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

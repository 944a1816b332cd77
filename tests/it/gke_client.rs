//! Google's own Rust client against the simulated GKE API over a socket: enums as numbers, 64-bit integers as
//! strings, errors with details.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use google_cloud_auth::credentials::anonymous;
use google_cloud_container_v1::client::ClusterManager;
use google_cloud_container_v1::model;
use google_cloud_container_v1::model::node_taint::Effect;
use google_cloud_container_v1::model::operation::Status;
use serde_json::Value as Json;
use stackwright::env::clock::{Clock, Timestamp};
use stackwright::env::discrete::DiscreteClock;
use stackwright::sim::google::container::{ClusterFacts, operations};
use stackwright::sim::google::{ControlPlanes, Endpoint, Google};
use stackwright::sim::net;
use stackwright::sim::world::World;

struct Endpoints;

#[async_trait]
impl ControlPlanes for Endpoints {
    async fn start(&self, _: &ClusterFacts) -> Result<Endpoint, String> {
        Ok(Endpoint { address: "127.0.0.1:6443".to_owned(), ca_pem: "PEM".to_owned() })
    }

    async fn stop(&self, _: &str) {}

    async fn add_node(&self, _: &str, _: Json) -> Result<(), String> {
        Ok(())
    }

    async fn remove_node(&self, _: &str, _: &str) -> Result<(), String> {
        Ok(())
    }
}

const PARENT: &str = "projects/p/locations/us-central1-a";

async fn wait(clock: &DiscreteClock, client: &ClusterManager, operation: model::Operation) -> model::Operation {
    loop {
        let busy = clock.busy();
        let name = format!("{PARENT}/operations/{}", operation.name);
        let now = client.get_operation().set_name(name).send().await.expect("operation");
        drop(busy);
        if now.status == Status::Done {
            return now;
        }
        clock.sleep(Duration::from_secs(10)).await;
    }
}

#[test]
fn google_s_client_makes_a_cluster_and_a_pool() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let clock = DiscreteClock::new(Timestamp(1_760_000_000_000));
    let runtime = clock.runtime().expect("runtime");
    runtime.block_on(async {
        let google = Google::new(World::in_memory(), Arc::new(clock.clone()), "seed".to_owned());
        google.attach(Arc::new(Endpoints));
        tokio::spawn(operations::run(google.clone()));
        let listener = net::bind("127.0.0.1:0".parse().expect("address")).await.expect("bind");
        let served = google.clone();
        let answering: net::Answering = Arc::new(move |request| {
            let google = served.clone();
            Box::pin(async move { Ok(google.answer(request.map(Body::new)).await) })
        });
        let listening = net::serve(listener, None, answering).expect("serve");
        let busy = clock.busy();
        let client = ClusterManager::builder()
            .with_endpoint(format!("http://{}", listening.address))
            .with_credentials(anonymous::Builder::new().build())
            .build()
            .await
            .expect("client");
        let wanted = model::Cluster::new()
            .set_name("c")
            .set_node_pools([model::NodePool::new().set_name("default-pool").set_initial_node_count(1)]);
        let operation = client.create_cluster().set_parent(PARENT).set_cluster(wanted).send().await.expect("create");
        drop(busy);
        assert_eq!(operation.status, Status::Running);
        let done = wait(&clock, &client, operation).await;
        assert!(done.error.is_none());

        let busy = clock.busy();
        let accelerator =
            model::AcceleratorConfig::new().set_accelerator_count(1).set_accelerator_type("nvidia-tesla-t4");
        let taint = model::NodeTaint::new().set_key("k").set_value("v").set_effect(Effect::NoExecute);
        let config = model::NodeConfig::new()
            .set_machine_type("n1-standard-4")
            .set_accelerators([accelerator])
            .set_taints([taint]);
        let pool = model::NodePool::new().set_name("gpu").set_initial_node_count(1).set_config(config);
        let parent = format!("{PARENT}/clusters/c");
        let operation = client.create_node_pool().set_parent(&parent).set_node_pool(pool).send().await.expect("pool");
        drop(busy);
        wait(&clock, &client, operation).await;

        let busy = clock.busy();
        let name = format!("{parent}/nodePools/gpu");
        let pool = client.get_node_pool().set_name(&name).send().await.expect("get");
        let config = pool.config.expect("config");
        assert_eq!(pool.status, model::node_pool::Status::Running);
        assert_eq!(config.taints[0].effect, Effect::NoExecute);
        assert_eq!(config.accelerators[0].accelerator_count, 1);
        assert_eq!(config.boot_disk.expect("disk").size_gb, 100);
        let error = client.delete_node_pool().set_name(format!("{parent}/nodePools/none")).send().await;
        let error = error.expect_err("no such pool");
        assert_eq!(error.http_status_code(), Some(404));
        let status = error.status().expect("status");
        assert_eq!(status.message, "Not found: node pool \"none\" not found.");
        assert!(!status.details.is_empty());
        let clusters = client.list_clusters().set_parent("projects/p/locations/-").send().await.expect("list");
        assert_eq!(clusters.clusters.len(), 1);
        let config = client.get_server_config().set_name(PARENT).send().await.expect("server config");
        assert_eq!(config.channels.len(), 3);
        drop(busy);
    });
}

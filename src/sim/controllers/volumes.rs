//! Claims and volumes: provisioning by pd.csi, binding, protection, reclaiming.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::cloud::{Cloud, Disk, Progress};
use super::scheduler::{SELECTED_NODE, claim_name};
use super::writes::Mood;
use super::{Controller, Key, Outcome, Surroundings, fields, kinds, pods, writes};
use crate::sim::kube::api::{Api, Gvk, Status};

const COMPONENT: &str = "persistentvolume-controller";
const DRIVER: &str = "pd.csi.storage.gke.io";
const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";
const PROVISIONER: &str = "external-provisioner.volume.kubernetes.io/finalizer";

/// Binds claims and provisions their volumes.
pub struct Claims {
    /// Where disks come from.
    pub cloud: Arc<dyn Cloud>,
}

fn claim_key(namespace: &str, name: &str) -> Key {
    Key { gvk: kinds::of("PersistentVolumeClaim"), namespace: namespace.to_owned(), name: name.to_owned() }
}

#[async_trait]
impl Controller for Claims {
    fn name(&self) -> &'static str {
        "claims"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![
            kinds::of("PersistentVolumeClaim"),
            kinds::of("PersistentVolume"),
            kinds::of("Pod"),
            kinds::of("StorageClass"),
        ]
    }

    fn keys(&self, changed: &Key, object: &Json, api: &dyn Api) -> Vec<Key> {
        match changed.gvk.kind.as_str() {
            "PersistentVolumeClaim" => vec![changed.clone()],
            "PersistentVolume" => {
                let claim = fields::text(object, "/spec/claimRef/name");
                let namespace = fields::text(object, "/spec/claimRef/namespace");
                if claim.is_empty() { Vec::new() } else { vec![claim_key(namespace, claim)] }
            }
            "Pod" => fields::list(object, "/spec/volumes")
                .iter()
                .filter_map(|volume| claim_name(object, volume))
                .map(|name| claim_key(&changed.namespace, &name))
                .collect(),
            _ => {
                let all = api.list(&kinds::of("PersistentVolumeClaim"), None);
                let waiting = all.iter().filter(|claim| fields::text(claim, "/status/phase") != "Bound");
                waiting.map(|claim| claim_key(fields::namespace(claim), fields::name(claim))).collect()
            }
        }
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let api = &around.api;
        let Some(claim) = api.get(&key.gvk, &key.namespace, &key.name) else {
            return self.ephemeral(around, key).await;
        };
        if fields::is_going(&claim) {
            let used = api.list(&kinds::of("Pod"), Some(&key.namespace)).iter().any(|pod| {
                !pods::has_ended(pod)
                    && fields::list(pod, "/spec/volumes").iter().any(|v| claim_name(pod, v).as_ref() == Some(&key.name))
            });
            if !used && fields::has_finalizer(&claim, CLAIM_PROTECTION) {
                let mut next = (*claim).clone();
                fields::remove_finalizer(&mut next, CLAIM_PROTECTION);
                writes::object(api, &claim, next).await?;
            }
            return Ok(Outcome::Done);
        }
        if fields::text(&claim, "/status/phase") == "Bound" {
            return Ok(Outcome::Done);
        }
        let volume = fields::text(&claim, "/spec/volumeName").to_owned();
        if !volume.is_empty() {
            return self.bind(around, &claim, &volume).await;
        }
        let class_name = fields::text(&claim, "/spec/storageClassName").to_owned();
        let Some(class) = api.get(&kinds::of("StorageClass"), "", &class_name) else {
            let message = if class_name.is_empty() {
                "no persistent volumes available for this claim and no storage class is set".to_owned()
            } else {
                format!("storageclass.storage.k8s.io \"{class_name}\" not found")
            };
            let reason = if class_name.is_empty() { "FailedBinding" } else { "ProvisioningFailed" };
            writes::event(around, &claim, Mood::Warning, reason, &message, COMPONENT).await;
            return self.pending(around, &claim).await;
        };
        let late = fields::text(&class, "/volumeBindingMode") == "WaitForFirstConsumer";
        let node = fields::annotation(&claim, SELECTED_NODE);
        if late && node.is_empty() {
            let message = "waiting for first consumer to be created before binding";
            writes::event(around, &claim, Mood::Normal, "WaitForFirstConsumer", message, COMPONENT).await;
            return self.pending(around, &claim).await;
        }
        self.provision(around, &claim, &class, node).await
    }
}

impl Claims {
    async fn pending(&self, around: &Surroundings, claim: &Json) -> Result<Outcome, Status> {
        let mut next = claim.clone();
        next["status"]["phase"] = json!("Pending");
        writes::status(&around.api, claim, next).await?;
        Ok(Outcome::Done)
    }

    /// Makes the claim of a Pod's generic ephemeral volume.
    async fn ephemeral(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        for pod in around.api.list(&kinds::of("Pod"), Some(&key.namespace)) {
            for volume in fields::list(&pod, "/spec/volumes") {
                let Some(template) = volume.pointer("/ephemeral/volumeClaimTemplate") else { continue };
                if fields::is_going(&pod) || claim_name(&pod, volume).as_ref() != Some(&key.name) {
                    continue;
                }
                let mut metadata = json!({
                    "name": key.name, "namespace": key.namespace, "ownerReferences": [fields::owner_reference(&pod)],
                });
                for field in ["labels", "annotations"] {
                    if let Some(value) = template.pointer(&format!("/metadata/{field}")) {
                        metadata[field] = value.clone();
                    }
                }
                let claim = json!({
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template["spec"],
                });
                writes::create_missing(&around.api, claim).await?;
            }
        }
        Ok(Outcome::Done)
    }

    async fn provision(
        &self,
        around: &Surroundings,
        claim: &Json,
        class: &Json,
        node: &str,
    ) -> Result<Outcome, Status> {
        let api = &around.api;
        let any = api.list(&kinds::of("Node"), None);
        let host = any.iter().find(|n| node.is_empty() || fields::name(n) == node);
        let Some(host) = host else { return self.pending(around, claim).await };
        let zone = fields::label(host, "topology.kubernetes.io/zone").to_owned();
        let bytes = fields::quantity(&claim["spec"]["resources"]["requests"]["storage"]) / 1000;
        let gigabytes = u64::try_from((bytes + (1 << 30) - 1) / (1 << 30)).unwrap_or(1).max(1);
        let kind = match fields::text(class, "/parameters/type") {
            "" => "pd-standard",
            kind => kind,
        };
        let disk = Disk {
            name: format!("pvc-{}", fields::uid(claim)),
            kind: kind.to_owned(),
            gigabytes,
            zone: zone.clone(),
            namespace: fields::namespace(claim).to_owned(),
            claim: fields::name(claim).to_owned(),
        };
        let handle = match self.cloud.ensure_disk(&disk) {
            Ok(Progress::Done(handle)) => handle,
            Ok(Progress::Pending(wait)) => {
                self.pending(around, claim).await?;
                return Ok(Outcome::After(wait));
            }
            Err(why) => {
                let message = format!(
                    "failed to provision volume with StorageClass \"{}\": rpc error: code = Internal desc = CreateVolume \
                     failed to create single zonal disk {}: {why}",
                    fields::name(class),
                    disk.name
                );
                writes::event(around, claim, Mood::Warning, "ProvisioningFailed", &message, DRIVER).await;
                return Err(Status::failure(500, "InternalError", message));
            }
        };
        let policy = match fields::text(class, "/reclaimPolicy") {
            "" => "Delete",
            policy => policy,
        };
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {
                "name": disk.name, "finalizers": [PROVISIONER, VOLUME_PROTECTION],
                "annotations": {"pv.kubernetes.io/provisioned-by": DRIVER},
            },
            "spec": {
                "accessModes": claim["spec"]["accessModes"], "capacity": {"storage": format!("{gigabytes}Gi")},
                "claimRef": {
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": fields::name(claim),
                    "namespace": fields::namespace(claim), "uid": fields::uid(claim),
                },
                "csi": {"driver": DRIVER, "volumeHandle": handle, "fsType": "ext4"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{
                    "key": "topology.gke.io/zone", "operator": "In", "values": [zone],
                }]}]}},
                "persistentVolumeReclaimPolicy": policy, "storageClassName": fields::name(class), "volumeMode": "Filesystem",
            },
        });
        writes::create_missing(api, volume).await?;
        let mut next = claim.clone();
        next["spec"]["volumeName"] = json!(disk.name);
        next["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"] = json!("yes");
        next["metadata"]["annotations"]["pv.kubernetes.io/bound-by-controller"] = json!("yes");
        next["metadata"]["annotations"]["volume.kubernetes.io/storage-provisioner"] = json!(DRIVER);
        let written = api.update(next).await?;
        let message = format!("Successfully provisioned volume {}", disk.name);
        writes::event(around, claim, Mood::Normal, "ProvisioningSucceeded", &message, DRIVER).await;
        self.bind(around, &written, &disk.name).await
    }

    /// Says on both sides that they belong together.
    async fn bind(&self, around: &Surroundings, claim: &Json, volume: &str) -> Result<Outcome, Status> {
        let api = &around.api;
        let Some(read) = api.get(&kinds::of("PersistentVolume"), "", volume) else {
            return self.pending(around, claim).await;
        };
        let owner = fields::text(&read, "/spec/claimRef/uid");
        let named = fields::text(&read, "/spec/claimRef/name");
        if (!owner.is_empty() && owner != fields::uid(claim)) || (!named.is_empty() && named != fields::name(claim)) {
            let message = format!("volume \"{volume}\" already bound to a different claim.");
            writes::event(around, claim, Mood::Warning, "FailedBinding", &message, COMPONENT).await;
            return self.pending(around, claim).await;
        }
        let mut next = (*read).clone();
        next["spec"]["claimRef"] = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": fields::name(claim),
            "namespace": fields::namespace(claim), "uid": fields::uid(claim),
        });
        if owner.is_empty() {
            api.update(next).await?;
            return Ok(Outcome::After(Duration::from_millis(1)));
        }
        let mut bound = (*read).clone();
        bound["status"]["phase"] = json!("Bound");
        writes::status(api, &read, bound).await?;
        let mut next = claim.clone();
        next["status"]["phase"] = json!("Bound");
        next["status"]["accessModes"] = read["spec"]["accessModes"].clone();
        next["status"]["capacity"] = read["spec"]["capacity"].clone();
        writes::status(api, claim, next).await?;
        Ok(Outcome::Done)
    }
}

/// Releases and removes volumes whose claim has gone.
pub struct Volumes {
    /// Where disks go.
    pub cloud: Arc<dyn Cloud>,
}

#[async_trait]
impl Controller for Volumes {
    fn name(&self) -> &'static str {
        "volumes"
    }

    fn watches(&self) -> Vec<Gvk> {
        vec![kinds::of("PersistentVolume"), kinds::of("PersistentVolumeClaim")]
    }

    fn keys(&self, changed: &Key, object: &Json, _: &dyn Api) -> Vec<Key> {
        if changed.gvk.kind == "PersistentVolume" {
            return vec![changed.clone()];
        }
        let volume = fields::text(object, "/spec/volumeName");
        if volume.is_empty() {
            return Vec::new();
        }
        vec![Key { gvk: kinds::of("PersistentVolume"), namespace: String::new(), name: volume.to_owned() }]
    }

    async fn reconcile(&self, around: &Surroundings, key: &Key) -> Result<Outcome, Status> {
        let api = &around.api;
        let Some(volume) = api.get(&key.gvk, "", &key.name) else { return Ok(Outcome::Done) };
        let namespace = fields::text(&volume, "/spec/claimRef/namespace");
        let owner = fields::text(&volume, "/spec/claimRef/uid");
        let claim =
            api.get(&kinds::of("PersistentVolumeClaim"), namespace, fields::text(&volume, "/spec/claimRef/name"));
        let bound = claim.is_some_and(|claim| fields::uid(&claim) == owner || owner.is_empty());
        if bound {
            return Ok(Outcome::Done);
        }
        let going = fields::is_going(&volume);
        if owner.is_empty() && !going {
            let mut next = (*volume).clone();
            next["status"]["phase"] = json!("Available");
            writes::status(api, &volume, next).await?;
            return Ok(Outcome::Done);
        }
        let deletes = fields::text(&volume, "/spec/persistentVolumeReclaimPolicy") == "Delete";
        if !going {
            let mut next = (*volume).clone();
            next["status"]["phase"] = json!("Released");
            writes::status(api, &volume, next).await?;
        }
        if deletes && fields::text(&volume, "/spec/csi/driver") == DRIVER {
            match self.cloud.delete_disk(fields::text(&volume, "/spec/csi/volumeHandle")) {
                Ok(Progress::Done(())) => {}
                Ok(Progress::Pending(wait)) => return Ok(Outcome::After(wait)),
                Err(why) => {
                    writes::event(around, &volume, Mood::Warning, "VolumeFailedDelete", &why, DRIVER).await;
                    return Err(Status::failure(500, "InternalError", why));
                }
            }
        } else if !going {
            return Ok(Outcome::Done);
        }
        let Some(volume) = api.get(&key.gvk, "", &key.name) else { return Ok(Outcome::Done) };
        if !going {
            writes::delete(api, &volume, None).await?;
        }
        let Some(volume) = api.get(&key.gvk, "", &key.name) else { return Ok(Outcome::Done) };
        let mut next = (*volume).clone();
        for finalizer in [PROVISIONER, VOLUME_PROTECTION] {
            fields::remove_finalizer(&mut next, finalizer);
        }
        writes::object(api, &volume, next).await?;
        Ok(Outcome::Done)
    }
}

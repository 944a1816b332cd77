//! Settings that must fit each other: cluster, pools, workloads, charts, manifests, outputs, moves, inputs.

use std::collections::BTreeSet;

use crate::diag;
use crate::env::clock::Timestamp;
use crate::stack::check::Checker;
use crate::stack::decode::Spanned;
use crate::stack::leaf::{Autoscale, GatewayTls, Location, Moment, Provisioning, Text, Whole};
use crate::stack::model::{
    Chart, Cluster, Dtype, Gateway, Input, InputType, MaintenanceWindow, Manifests, NodePool, Stack, Workload,
};
use crate::stack::tree::Tree;
use crate::value::Value;

impl Checker<'_> {
    pub(super) fn components(&mut self, stack: &Stack) {
        for (name, input) in &stack.inputs {
            self.input(name, input);
        }
        if let Some(cluster) = &stack.cluster {
            self.cluster(cluster);
        }
        self.need_of_a_cluster();
        for (name, pool) in &stack.node_pools {
            self.node_pool(name, pool, stack.cluster.as_ref());
        }
        if let Some(gateway) = &stack.gateway {
            self.gateway(gateway);
        }
        for (host, registry) in &stack.registries {
            self.is_secret(&registry.pull_secret, &format!("the login to {host}"));
        }
        for (name, workload) in &stack.workloads {
            self.workload(name, workload, stack);
        }
        for (name, chart) in &stack.charts {
            self.chart(name, chart);
            self.depends_on(&format!("charts.{name}"), &chart.depends_on);
        }
        for (name, manifests) in &stack.manifests {
            self.manifests(name, manifests);
            self.depends_on(&format!("manifests.{name}"), &manifests.depends_on);
        }
        for (name, stored) in &stack.values {
            let mut secret = None;
            stored.input.value.visit_templates(&mut |template| secret = secret.or(template.secrets().next()));
            if let Some(input) = secret {
                let summary = format!("values.{name} would store the secret input {input}");
                let hint = "refer to the input where it is used".to_owned();
                self.mistake(&stored.input.span, summary, "values are kept in state", Some(hint));
            }
        }
        self.outputs(stack);
        self.moves(stack);
    }

    /// Whether the table of a component has the key, good or bad.
    fn has(&self, component: &str, key: &str) -> bool {
        let table = match component.split_once('.') {
            Some((section, name)) => self.tree.get(section).and_then(|table| table.get(name)),
            None => self.tree.get(component),
        };
        table.is_some_and(|table| table.get(key).is_some())
    }

    /// Whether the cluster is there already.
    fn is_given(&self) -> bool {
        self.has("cluster", "kubeconfig")
    }

    fn input(&mut self, name: &str, input: &Input) {
        let kind = input.kind.as_ref().map_or(InputType::String, |kind| kind.value);
        let secret = input.secret.as_ref().is_some_and(|secret| secret.value);
        if let (true, Some(kind)) = (secret && kind != InputType::String, &input.kind) {
            let hint = "write type = \"string\"".to_owned();
            self.mistake(&kind.span, format!("the secret input {name} must be a string"), "not a string", Some(hint));
        }
        let Some(default) = &input.default else { return };
        if secret {
            let hint = "remove the default; give the value by variable, file or flag".to_owned();
            let summary = format!("the secret input {name} has a default");
            self.mistake(&default.span, summary, "stands in the file for everyone to read", Some(hint));
        }
        if !kind.admits(&default.value) {
            let summary = format!("the default of {name} is not of type {}", kind.word());
            self.mistake(&default.span, summary, format!("expected a {}", kind.word()), None);
        }
    }

    fn cluster(&mut self, cluster: &Cluster) {
        if !self.is_given() {
            for key in ["project", "location"] {
                if !self.has("cluster", key) {
                    let hint =
                        format!("write {key} = \"…\", or kubeconfig = \"…\" for a cluster that is there already");
                    let label = format!("`{key}` belongs here");
                    self.gap(&cluster.span, format!("missing key `{key}` in [cluster]"), label, Some(hint));
                }
            }
            if let Some(context) = &cluster.context {
                self.mistake(&context.span, "`context` needs `kubeconfig`", "of which file?", None);
            }
            self.locations(cluster);
            self.reach(cluster);
            if let Some(window) = &cluster.maintenance_window {
                self.maintenance(window);
            }
            if let Some(pool) = &cluster.system_pool {
                self.scale(pool.nodes.as_ref(), pool.autoscale.as_ref());
            }
            return;
        }
        let Some(kubeconfig) = &cluster.kubeconfig else { return };
        // Keys that only a cluster of our own can honour.
        let Some(table) = self.tree.get("cluster").and_then(Tree::table) else { return };
        let foreign = table.iter().filter(|(key, _)| !matches!(key.as_str(), "kubeconfig" | "context" | "timeout"));
        for (key, entry) in foreign {
            let hint = "remove it, or remove `kubeconfig` to have a cluster made".to_owned();
            let (line, _) = kubeconfig.span.line_column();
            let label = format!("line {line} gives a cluster that is there already");
            self.mistake(&entry.key, format!("`{key}` cannot stand beside `kubeconfig`"), label, Some(hint));
        }
    }

    /// Every fallback location is like the first, and nothing else in the stack is tied to the first.
    fn locations(&mut self, cluster: &Cluster) {
        let Some(first) = &cluster.location else { return };
        let mut seen = BTreeSet::from([first.to_string()]);
        for fallback in &cluster.fallback_locations {
            if fallback.known().is_none() || first.known().is_none() {
                continue;
            }
            let word = |location: &Spanned<Location>| if location.is_zone() { "a zone" } else { "a region" };
            if !seen.insert(fallback.to_string()) {
                let summary = format!("{} is listed already", &***fallback);
                self.mistake(&fallback.span, summary, "tried once only", None);
            } else if fallback.is_zone() != first.is_zone() {
                let summary = format!("{} is {}, and `location` is {}", &***fallback, word(fallback), word(first));
                let hint = "name zones only, or regions only: a regional cluster has other pools, costs and addresses";
                self.mistake(&fallback.span, summary, "not the same cluster elsewhere", Some(hint.to_owned()));
            }
        }
        if cluster.fallback_locations.is_empty() {
            return;
        }
        let hint = || Some("leave it out, or leave `fallback_locations` out".to_owned());
        if let Some(zone) = cluster.node_locations.first() {
            let summary = "`node_locations` cannot stand beside `fallback_locations`";
            self.mistake(&zone.span, summary, "a zone of the first location only", hint());
        }
        if let Some(subnetwork) = cluster.subnetwork.as_ref().filter(|s| s.known().is_some_and(|s| s.contains('/'))) {
            let summary = "a subnetwork of one region cannot stand beside `fallback_locations`";
            let hint = "write its name alone, of a subnetwork that each of the regions has".to_owned();
            self.mistake(&subnetwork.span, summary, "a path names its region", Some(hint));
        }
    }

    /// What of a pool is in one place only.
    fn tied(&mut self, pool: &NodePool, cluster: Option<&Cluster>) {
        if cluster.is_none_or(|cluster| cluster.fallback_locations.is_empty()) {
            return;
        }
        let hint = || Some("leave it out, or leave `fallback_locations` of [cluster] out".to_owned());
        for zone in pool.zone.iter().chain(&pool.node_locations) {
            let summary = "the zone of a pool cannot stand beside `fallback_locations`";
            self.mistake(&zone.span, summary, "a zone of the first location only", hint());
        }
        if let Some(provisioning) = &pool.provisioning
            && let Some(Provisioning::Reservation(_)) = provisioning.known()
        {
            let summary = "a reservation is in one zone, and cannot stand beside `fallback_locations`";
            self.mistake(&provisioning.span, summary, "not to be had elsewhere", hint());
        }
    }

    /// Zones of nodes, and who may reach the control plane.
    fn reach(&mut self, cluster: &Cluster) {
        let location = cluster.location.as_ref().and_then(Spanned::known).map(|location| &**location);
        self.zones(&cluster.node_locations, location);
        if let (Some(true), Some(first)) =
            (cluster.private.as_ref().and_then(Spanned::known), cluster.authorized_networks.first())
        {
            let hint = "remove one of the two: who may use the DNS endpoint is a matter of IAM".to_owned();
            let what = "authorised networks guard an address that a private cluster does not have";
            self.mistake(&first.span, what, "`private` is set", Some(hint));
        }
        let mut seen = BTreeSet::new();
        for network in &cluster.authorized_networks {
            if network.cidr.known().is_some() && !seen.insert(network.cidr.to_string()) {
                self.mistake(&network.cidr.span, format!("{} is listed already", &**network.cidr), "again", None);
            }
        }
    }

    /// Zones within a location, each once.
    fn zones(&mut self, zones: &[Spanned<Location>], location: Option<&str>) {
        let mut seen = BTreeSet::new();
        for zone in zones {
            let Some(name) = zone.known() else { continue };
            let region = location.map(|location| match crate::stack::names::is_zone(location) {
                true => location.rsplit_once('-').map_or(location, |(region, _)| region),
                false => location,
            });
            if !name.is_zone() {
                self.mistake(&zone.span, format!("{} is no zone", &**name), "a region", None);
            } else if region.is_some_and(|region| name.rsplit_once('-').is_none_or(|(of, _)| of != region)) {
                let summary = format!("the zone {} is not in the cluster's region", &**name);
                self.mistake(&zone.span, summary, "another region", None);
            } else if !seen.insert(name.to_string()) {
                self.mistake(&zone.span, format!("{} is listed already", &**name), "again", None);
            }
        }
    }

    /// Either every day, or from one moment to another and again.
    fn maintenance(&mut self, window: &MaintenanceWindow) {
        let recurring = [window.start.is_some(), window.end.is_some(), window.recurrence.is_some()];
        let hint = || Some("write { daily = \"03:00\" }, or start, end and recurrence together".to_owned());
        if window.daily.is_some() == recurring.contains(&true) {
            self.mistake(&window.span, "a maintenance window is daily or recurring", "one of the two", hint());
        } else if recurring.contains(&true) && recurring.contains(&false) {
            self.mistake(&window.span, "a recurring window needs start, end and recurrence", "not whole", hint());
        }
        let moment = |text: Option<&Spanned<Moment>>| text.and_then(Spanned::known).and_then(|m| Timestamp::parse(m));
        if let (Some(start), Some(end), Some(place)) =
            (moment(window.start.as_ref()), moment(window.end.as_ref()), &window.end)
            && end <= start
        {
            self.mistake(&place.span, "the window ends before it begins", "later than `start`", None);
        }
    }

    /// Everything in Kubernetes needs a cluster.
    fn need_of_a_cluster(&mut self) {
        if self.tree.get("cluster").is_some() {
            return;
        }
        for section in ["node_pools", "addons", "gateway", "workloads", "charts", "manifests"] {
            let place = match self.tree.get(section) {
                Some(found) if section == "gateway" => Some(found.span.clone()),
                Some(found) => {
                    found.table().and_then(|t| t.values().map(|e| &e.key).min_by_key(|key| key.range.start)).cloned()
                }
                None => None,
            };
            if let Some(place) = place {
                let hint = "add [cluster] with project and location, or with kubeconfig".to_owned();
                self.gap(&place, format!("[{section}] needs a cluster"), "in which cluster?", Some(hint));
            }
        }
    }

    fn scale(&mut self, nodes: Option<&Spanned<Whole<0, 1000>>>, autoscale: Option<&Spanned<Autoscale>>) {
        if let (Some(count), Some(bounds)) = (nodes.and_then(Spanned::known), autoscale.and_then(Spanned::known))
            && let (Some(nodes), true) = (nodes, !(bounds.min..=bounds.max).contains(&count.get()))
        {
            let label = format!("autoscale allows {} to {}", bounds.min, bounds.max);
            self.mistake(&nodes.span, format!("{} nodes are outside autoscale", count.get()), label, None);
        }
    }

    fn node_pool(&mut self, name: &str, pool: &NodePool, cluster: Option<&Cluster>) {
        if self.is_given() {
            let hint = "remove the pool; workloads on a given cluster say `accelerator` themselves".to_owned();
            let summary = format!("node_pools.{name} cannot be made in a cluster given by kubeconfig");
            self.mistake(&pool.span, summary, "pools are made by Google Cloud", Some(hint));
        }
        let table = format!("node_pools.{name}");
        if !self.has(&table, "accelerator") && !self.has(&table, "machine_type") {
            let hint = "write accelerator = \"nvidia-t4\", or machine_type = \"n1-standard-4\"".to_owned();
            let summary = format!("node_pools.{name} does not say which machines");
            self.gap(&pool.span, summary, "`accelerator` or `machine_type` belongs here", Some(hint));
        }
        self.scale(pool.nodes.as_ref(), pool.autoscale.as_ref());
        self.topology(pool);
        if let (Some(zone), Some(_)) = (&pool.zone, pool.node_locations.first()) {
            let hint = "remove `zone`, or write the one zone there".to_owned();
            self.mistake(&zone.span, "`zone` and `node_locations` say the same", "one of the two", Some(hint));
        }
        let location = cluster.and_then(|cluster| cluster.location.as_ref()).and_then(Spanned::known);
        self.zones(&pool.node_locations, location.map(|location| &**location));
        self.tied(pool, cluster);
        let zero = |count: &Option<Spanned<Whole<0, 20>>>, without: bool| {
            count.as_ref().map_or(without, |count| count.known().is_some_and(|count| count.get() == 0))
        };
        if zero(&pool.max_surge, false) && zero(&pool.max_unavailable, true) {
            let hint = "write max_unavailable = 1".to_owned();
            let place = pool.max_surge.as_ref().map_or(&pool.span, |surge| &surge.span);
            let summary = "an upgrade needs a node more or a node less for a while";
            self.mistake(place, summary, "neither is allowed", Some(hint));
        }
        if let (Some(Provisioning::FlexStart), Some(bounds)) =
            (pool.provisioning.as_ref().and_then(Spanned::known), &pool.autoscale)
            && bounds.known().is_some_and(|bounds| bounds.min > 0)
        {
            let hint = format!("write autoscale = [0, {}]", bounds.max);
            self.mistake(&bounds.span, "a flex-start pool starts from no nodes", "the fewest must be 0", Some(hint));
        }
        if let (Some(zone), Some(location)) = (&pool.zone, cluster.and_then(|cluster| cluster.location.as_ref()))
            && let (Some(z), Some(l)) = (zone.known(), location.known())
        {
            let inside =
                if l.is_zone() { **z == **l } else { z.strip_prefix(&**l).is_some_and(|rest| rest.starts_with('-')) };
            if !inside {
                let summary = format!("the zone {} is not in the cluster's location {}", &**z, &**l);
                self.mistake(&zone.span, summary, "another place", None);
            }
        }
    }

    /// A topology is for slices of several hosts: GKE refuses one on a single-host pool with a 400
    /// (GoogleCloudPlatform xpk issue 825), because there it is a label and nothing else.
    fn topology(&mut self, pool: &NodePool) {
        let Some(topology) = &pool.topology else { return };
        let Some(shape) = topology.known() else { return };
        let machine = pool.machine_type.as_ref().and_then(Spanned::known).map(|m| &**m);
        let accelerator = pool.accelerator.as_ref().and_then(Spanned::known).map(|a| &**a);
        let tpu = accelerator.is_some_and(is_tpu) || machine.is_some_and(|machine| machine.starts_with("ct"));
        if !tpu && (accelerator.is_some() || machine.is_some()) {
            let hint = "remove it".to_owned();
            self.mistake(&topology.span, "only TPU pools have a topology", "not a TPU", Some(hint));
            return;
        }
        let chips = shape.chips();
        // By the machine when it is named, else by the slice: up to 8 chips come as one host.
        let per_host = machine.and_then(chips_per_host);
        let single = per_host.map_or(accelerator.and_then(slice_chips).unwrap_or(chips) <= 8, |host| chips <= host);
        if single {
            let hint = "remove `topology`: the accelerator's row sets the label that pods select".to_owned();
            let summary = format!("a single-host pool takes no topology, {} fits one host", &**shape);
            self.mistake(&topology.span, summary, "GKE refuses it", Some(hint));
            return;
        }
        if let Some(slice) = accelerator.and_then(slice_chips)
            && slice != chips
        {
            let summary = format!("the topology {} has {chips} chips, the accelerator {slice}", &**shape);
            self.mistake(&topology.span, summary, format!("{slice} chips wanted"), None);
            return;
        }
        let hosts = chips / per_host.unwrap_or(4).max(1);
        if let Some(nodes) = &pool.nodes
            && nodes.known().is_some_and(|nodes| u64::try_from(nodes.get()) != Ok(hosts))
        {
            let summary = format!("a slice of {} has {hosts} nodes, not {}", &**shape, nodes.get());
            let hint = "remove `nodes`: the topology says how many".to_owned();
            self.mistake(&nodes.span, summary, format!("{hosts}, all at once"), Some(hint));
        }
    }

    fn gateway(&mut self, gateway: &Gateway) {
        if let (Some(GatewayTls::Off), Some(port)) =
            (gateway.tls.as_ref().and_then(Spanned::known), &gateway.https_port)
        {
            self.mistake(&port.span, "`https_port` needs TLS, which is off", "remove it, or remove `tls`", None);
        }
        let tls = gateway.tls.as_ref().and_then(Spanned::known);
        if let (Some(ca), None | Some(GatewayTls::Issued | GatewayTls::Off)) = (&gateway.ca_certificate, tls) {
            let hint = "remove it, or write tls = \"secret:NAME\" or \"issuer:NAME\"".to_owned();
            self.mistake(&ca.span, "`ca_certificate` is for certificates of others", "known already", Some(hint));
        }
        if let (Some(GatewayTls::Issuer(_)), None) = (tls, &gateway.hostname) {
            let hint = "write hostname = \"models.example.com\"".to_owned();
            self.mistake(&gateway.span, "an issuer needs a name to vouch for", "`hostname` belongs here", Some(hint));
        }
        if let (Some(http), Some(https)) = (&gateway.http_port, gateway.https_port())
            && http.known().is_some_and(|port| port.get() == https)
        {
            self.mistake(&http.span, format!("port {https} is taken by HTTPS"), "one port, one listener", None);
        }
    }

    /// A value that must not stand in the file or in state.
    fn is_secret(&mut self, text: &Spanned<Text>, what: &str) {
        if let Some(Text(Value::String(_))) = text.known() {
            let hint = "declare an input with `secret = true` and refer to it: ${inputs.NAME}".to_owned();
            self.mistake(&text.span, format!("{what} is not secret here"), "would be stored and shown", Some(hint));
        }
    }

    fn workload(&mut self, name: &str, workload: &Workload, stack: &Stack) {
        if let Some(token) = &workload.hf_token {
            self.is_secret(token, "the Hugging Face token");
        }
        if let Some(key) = &workload.api_key {
            self.is_secret(key, "the API key");
        }
        if let Some(credentials) = &workload.credentials {
            self.is_secret(&credentials.access_key, "the access key");
            self.is_secret(&credentials.secret_key, "the secret key");
        }
        let made = self.tree.get("cluster").is_some() && !self.is_given();
        let table = format!("workloads.{name}");
        match (&workload.node_pool, &workload.accelerator) {
            (Some(_), Some(accelerator)) => {
                let summary = "`accelerator` cannot stand beside `node_pool`";
                self.mistake(&accelerator.span, summary, "the pool has one", Some("remove it".to_owned()));
            }
            (None, Some(accelerator)) if made => {
                let hint = "write node_pool = \"…\"; only on a cluster given by kubeconfig a workload says it itself"
                    .to_owned();
                self.mistake(&accelerator.span, "the accelerator is a node pool's matter", "no pool named", Some(hint));
            }
            (None, None) if made && !self.has(&table, "node_pool") && !self.has(&table, "accelerator") => {
                let hint = match stack.node_pools.keys().next() {
                    Some(pool) => format!("write node_pool = \"{pool}\""),
                    None => "add [node_pools.gpu] and write node_pool = \"gpu\"".to_owned(),
                };
                let summary = format!("workloads.{name} does not say where it runs");
                self.gap(&workload.span, summary, "`node_pool` belongs here", Some(hint));
            }
            _ => {}
        }
        let accelerator = match workload.node_pool.as_ref().and_then(|pool| pool.known().map(|_| pool)) {
            Some(pool) => {
                if !self.declares(&format!("node_pools.{}", &***pool)) {
                    let names = self.tree.get("node_pools").and_then(Tree::table);
                    let names =
                        names.into_iter().flat_map(|table| table.keys().map(String::as_str)).collect::<Vec<_>>();
                    let hint = match diag::suggest(pool, names.iter().copied()) {
                        Some(close) => format!("did you mean \"{close}\"?"),
                        None if names.is_empty() => format!("add [node_pools.{}]", &***pool),
                        None => format!("there are {}", names.join(", ")),
                    };
                    let summary = format!("there is no node pool {:?}", &***pool);
                    self.mistake(&pool.span, summary, "not declared", Some(hint));
                }
                stack.node_pools.get(&***pool).and_then(|pool| pool.accelerator.as_ref())
            }
            None => workload.accelerator.as_ref(),
        };
        if let Some(accelerator) = accelerator.and_then(Spanned::known) {
            self.fits(workload, accelerator);
        }
    }

    /// Settings of one accelerator on another.
    fn fits(&mut self, workload: &Workload, accelerator: &str) {
        if let (true, Some(share)) = (is_tpu(accelerator), &workload.gpu_memory_utilization) {
            let summary = format!("`gpu_memory_utilization` is for GPUs; the workload runs on {accelerator}");
            self.mistake(&share.span, summary, "not on a TPU", Some("remove it".to_owned()));
        }
        // Turing has no bfloat16; vLLM refuses to start (compute capability 7.5, 8.0 wanted).
        if accelerator == "nvidia-t4"
            && let Some(dtype) = &workload.dtype
            && dtype.known() == Some(&Dtype::Bfloat16)
        {
            let hint = "write dtype = \"half\"".to_owned();
            self.mistake(&dtype.span, "a T4 cannot compute in bfloat16", "not on this GPU", Some(hint));
        }
    }

    fn chart(&mut self, name: &str, chart: &Chart) {
        let Some(source) = chart.source.known() else { return };
        let repository = source.starts_with("https://") || source.starts_with("http://");
        let path = source.split('?').next().unwrap_or_default();
        let archive = path.ends_with(".tgz") || path.ends_with(".tar.gz");
        let remote = repository && !archive || source.starts_with("oci://");
        let table = format!("charts.{name}");
        match &chart.chart {
            None if remote && repository && !self.has(&table, "chart") => {
                let hint = "write chart = \"NAME\"; `helm search repo` lists them".to_owned();
                self.gap(&chart.source.span, "a repository holds many charts", "`chart` belongs beside it", Some(hint));
            }
            Some(name) if !(remote && repository) => {
                self.mistake(&name.span, "`chart` is for repositories given by https://", "the source names it", None);
            }
            _ => {}
        }
        if remote && !self.has(&table, "version") {
            let hint = "write version = \"1.2.3\", so that tomorrow's plan equals today's".to_owned();
            self.gap(&chart.source.span, "this chart needs a version", "`version` belongs beside it", Some(hint));
        }
    }

    fn manifests(&mut self, name: &str, manifests: &Manifests) {
        let table = format!("manifests.{name}");
        match (&manifests.files[..], &manifests.url) {
            ([], None) if !self.has(&table, "files") && !self.has(&table, "url") => {
                let hint = "write files = [\"a.yaml\"], or url and digest".to_owned();
                let summary = format!("manifests.{name} names no manifest");
                self.gap(&manifests.span, summary, "`files` belongs here", Some(hint));
            }
            ([_, ..], Some(url)) => {
                self.mistake(
                    &url.span,
                    "`url` cannot stand beside `files`",
                    "one or the other",
                    Some("split the table in two".to_owned()),
                );
            }
            _ => {}
        }
        match (&manifests.url, &manifests.digest) {
            (Some(url), None) if !self.has(&table, "digest") => {
                let hint = "write digest = \"sha256:…\"; `curl -sL URL | sha256sum` tells it".to_owned();
                self.gap(&url.span, "what an address returns can change", "`digest` belongs beside it", Some(hint));
            }
            (None, Some(digest)) if !self.has(&table, "url") => {
                self.mistake(&digest.span, "`digest` needs `url`", "of what?", None);
            }
            _ => {}
        }
        let mut seen = BTreeSet::new();
        for file in &manifests.files {
            if file.known().is_some() && !seen.insert(file.to_string()) {
                self.mistake(&file.span, format!("{} is listed already", &***file), "applied once only", None);
            }
        }
    }

    fn depends_on(&mut self, component: &str, list: &[Spanned<crate::stack::leaf::AddressText>]) {
        for on in list.iter().filter(|on| on.known().is_some()) {
            if on.contains('/') {
                let hint = "name the component: what stands before the slash".to_owned();
                self.mistake(&on.span, "`depends_on` names components", "an object", Some(hint));
            } else if !self.declares(on) {
                let summary = format!("there is no {} in this stack", &***on);
                self.mistake(&on.span, summary, format!("{component} would wait for ever"), self.meant(on));
            }
        }
    }

    fn outputs(&mut self, stack: &Stack) {
        for (name, output) in &stack.outputs {
            let hidden = output.sensitive.as_ref().is_some_and(|sensitive| sensitive.value);
            let mut secret = None;
            output.value.value.visit_templates(&mut |template| {
                if template.is_sensitive() {
                    secret = Some(template.source());
                }
            });
            if let (false, Some(secret)) = (hidden, secret) {
                let hint = format!("write {name} = {{ value = …, sensitive = true }}");
                let summary = format!("the output {name} would show {secret}");
                self.mistake(&output.value.span, summary, "secret", Some(hint));
            }
        }
    }

    fn moves(&mut self, stack: &Stack) {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for moved in &stack.moved {
            let (Some(from), Some(to)) = (moved.from.known(), moved.to.known()) else { continue };
            let movable = |address: &str| matches!(address.split_once('.'), Some(("node_pools" | "values", _)));
            if !movable(from) {
                let hint =
                    "remove it: a Kubernetes object is known by kind, namespace and name, whatever its component"
                        .to_owned();
                let summary = format!("{} needs no move", &**from);
                self.mistake(&moved.from.span, summary, "only node_pools and values move", Some(hint));
                continue;
            }
            if from.split('.').next() != to.split('.').next() {
                let summary = format!("{} cannot become {}", &**from, &**to);
                self.mistake(&moved.to.span, summary, "another kind of component", None);
                continue;
            }
            if self.declares(from) {
                let summary = format!("{} is still declared", &**from);
                let hint = "rename its table, or remove this move".to_owned();
                self.mistake(&moved.from.span, summary, "moved away from here", Some(hint));
            }
            if !self.declares(to) {
                let summary = format!("there is no {} in this stack", &**to);
                self.mistake(&moved.to.span, summary, "moved to nowhere", self.meant(to));
            }
            if !seen.insert(from) {
                self.mistake(&moved.from.span, format!("{} is moved twice", &**from), "second time", None);
            }
        }
    }
}

impl InputType {
    /// Whether a value is of the type.
    pub(crate) fn admits(self, value: &Value) -> bool {
        match self {
            InputType::String => matches!(value, Value::String(_)),
            InputType::Number => matches!(value, Value::Int(_) | Value::Float(_)),
            InputType::Bool => matches!(value, Value::Bool(_)),
            InputType::List => matches!(value, Value::List(_)),
            InputType::Map => matches!(value, Value::Map(_)),
        }
    }
}

fn is_tpu(accelerator: &str) -> bool {
    accelerator.starts_with("tpu-")
}

/// The chips of a slice: `tpu-v6e-16` has 16.
fn slice_chips(accelerator: &str) -> Option<u64> {
    accelerator.strip_prefix("tpu-")?.rsplit('-').next()?.parse().ok()
}

/// The chips of a TPU machine: `ct6e-standard-4t` has 4.
fn chips_per_host(machine: &str) -> Option<u64> {
    machine.starts_with("ct").then(|| machine.rsplit('-').next()?.strip_suffix('t')?.parse().ok()).flatten()
}

//! What goes wrong between workloads: webhooks, certificates, gateways, routes, network plugins, sidecars.

use super::{ANY, Known, Look, Rule};
use crate::diagnosis::signs::Source::{Condition, Container, Event, Log, Object, Refusal};

/// What is said of a certificate that is not trusted, or not for that name.
const UNTRUSTED: &[&str] = &[
    "x509",
    "failed to verify certificate",
    "unable to load root certificates",
    "certificate signed by unknown authority",
];

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "webhook-ca-missing",
        title: "The API server does not trust a webhook",
        seen: "`failed calling webhook …: x509: certificate signed by unknown authority`",
        weight: 75,
        looks: &[
            Look { sources: &[Object], reasons: &["NoCa"], ..ANY },
            Look { sources: &[Refusal], any: &["has no cabundle", "the ca bundle of"], ..ANY },
            Look { any: UNTRUSTED, all: &["webhook"], ..ANY },
        ],
        known_by: Known::What,
        names: &[],
        sentence: "the webhook of {what} has no CA bundle, or another than its certificate: nothing that it admits can be made",
        story: "Whoever installs a webhook's certificate writes its CA into the webhook's configuration: cert-manager's \
                cainjector, istiod, or an operator. Until then, or when the certificate was made anew without it, every request \
                that goes through the webhook is refused. Half a minute after a roll-out that is normal.",
        mend: "see that the one who writes it runs (cainjector, istiod, the operator), and that the Certificate behind it is \
               ready; restarting it writes the bundle anew",
        command: "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations",
    },
    Rule {
        id: "webhook-unavailable",
        title: "A webhook does not answer",
        seen: "`failed calling webhook …: no endpoints available for service`, `context deadline exceeded`, `connection refused`",
        weight: 73,
        looks: &[
            Look { sources: &[Object], reasons: &["NoEndpoints"], ..ANY },
            Look { sources: &[Refusal], any: &["an endpoint of the webhook's service", "nobody answers for"], ..ANY },
            Look {
                any: &["failed calling webhook", "failed to call webhook", "conversion webhook for"],
                none: UNTRUSTED,
                ..ANY
            },
        ],
        known_by: Known::What,
        names: &[],
        sentence: "the webhook of {what} does not answer: nothing that it admits can be made or changed",
        story: "The configuration says Fail, so what the webhook would have to look at is refused while it is away: its pods are \
                not ready, its Service has no endpoints, or the control plane cannot reach its port (a private cluster needs a \
                firewall rule from the control plane to 8443, 9443, 10250 and 15017; then it says `context deadline exceeded`).",
        mend: "see the pods behind the Service; with private nodes, allow the control plane's range to the webhook's port",
        command: "kubectl -n {namespace} get pods,endpointslices",
    },
    Rule {
        id: "issuer-missing",
        title: "The issuer of a certificate is missing",
        seen: "`Referenced \"ClusterIssuer\" not found`, `IssuerNotFound`",
        weight: 72,
        looks: &[
            Look { any: &["issuer"], all: &["not found"], none: &["failed calling webhook", "keypair"], ..ANY },
            Look { reasons: &["IssuerNotFound"], ..ANY },
            Look { sources: &[Refusal], kinds: &["Issuer", "ClusterIssuer"], any: &["deleted by another hand"], ..ANY },
        ],
        known_by: Known::What,
        names: &[("issuer.cert-manager.io \"", "\"")],
        sentence: "certificates wait for an issuer that is not there or not ready: {what}",
        story: "A Certificate names an Issuer (of its own namespace) or a ClusterIssuer. A CA issuer needs its key pair, which for \
                a ClusterIssuer is a Secret in cert-manager's namespace.",
        mend: "make the issuer, or correct its name and kind in `issuerRef`",
        command: "kubectl get issuers,clusterissuers --all-namespaces",
    },
    Rule {
        id: "certificate-not-issued",
        title: "A certificate is not issued",
        seen: "a Certificate is not Ready; `MountVolume.SetUp failed for volume …: secret \"…\" not found`",
        weight: 58,
        looks: &[
            Look { sources: &[Condition], kinds: &["Certificate", "CertificateRequest"], ..ANY },
            Look { sources: &[Condition], kinds: &["Issuer", "ClusterIssuer"], ..ANY },
            Look { sources: &[Event], kinds: &["Certificate", "CertificateRequest", "Issuer", "ClusterIssuer"], ..ANY },
            Look {
                sources: &[Refusal],
                kinds: &["Certificate", "Issuer", "ClusterIssuer"],
                any: &["ready is false", "keypair"],
                ..ANY
            },
        ],
        known_by: Known::Subject,
        names: &[],
        sentence: "{object} is not ready: the Secret with its key does not come, and what mounts it waits",
        story: "cert-manager turns a Certificate into a CertificateRequest, has it approved and signed, and writes the Secret. \
                After a failed request it waits an hour, then two, up to 32.",
        mend: "read why the request failed; once that is mended, delete the Certificate's request, or `cmctl renew` it, so that \
               nobody waits for the back-off",
        command: "kubectl -n {namespace} describe certificate,certificaterequest",
    },
    Rule {
        id: "gateway-class-missing",
        title: "Nobody looks after the gateway",
        seen: "a Gateway has no status at all, or waits for `Accepted`",
        weight: 71,
        looks: &[
            Look { sources: &[Object], reasons: &["NoClass"], ..ANY },
            Look { sources: &[Condition], kinds: &["GatewayClass"], ..ANY },
            Look { any: &["gatewayclass"], all: &["not found"], ..ANY },
            Look { any: &["gatewayclass"], all: &["does not exist"], ..ANY },
            Look { sources: &[Refusal], kinds: &["GatewayClass"], any: &["deleted by another hand"], ..ANY },
        ],
        known_by: Known::What,
        names: &[],
        sentence: "there is no GatewayClass {what}, or its controller has not accepted it",
        story: "istiod makes the class `istio` itself once the Gateway API's definitions are there. Without a class a Gateway gets \
                neither pods nor status.",
        mend: "see that istiod runs, or correct the gateway's class",
        command: "kubectl get gatewayclasses",
    },
    Rule {
        id: "gateway-without-address",
        title: "The gateway has no address",
        seen: "`AddressNotAssigned`, `address pending for hostname`, `SyncLoadBalancerFailed`",
        weight: 61,
        looks: &[
            Look {
                sources: &[Condition],
                kinds: &["Gateway"],
                reasons: &["AddressNotAssigned", "AddressNotUsable", "NoAddress", "Pending"],
                ..ANY
            },
            Look { sources: &[Event], kinds: &["Service"], ..ANY },
            Look {
                any: &["syncloadbalancerfailed", "error syncing load balancer", "address pending for hostname"],
                ..ANY
            },
            Look { sources: &[Refusal], any: &["an address of the", "has no address", "addressnotassigned"], ..ANY },
        ],
        known_by: Known::Subject,
        names: &[("Quota '", "'")],
        sentence: "{object} gets no address, so nothing can be reached through it",
        story: "The gateway's Service asks Google Cloud for a load balancer; that takes a minute or two. It fails for quotas \
                (IN_USE_ADDRESSES, FORWARDING_RULES), for a cluster without ready nodes, or for rights of the cluster's account.",
        mend: "read what the Service's events say; free an address or forwarding rule, or ask for more quota",
        command: "kubectl -n {namespace} describe services",
    },
    Rule {
        id: "gateway-not-accepted",
        title: "The gateway is not as it should be",
        seen: "`Programmed` is False, `ListenersNotValid`, `Bad TLS configuration`",
        weight: 57,
        looks: &[Look { sources: &[Condition], kinds: &["Gateway"], ..ANY }],
        known_by: Known::Subject,
        names: &[],
        sentence: "{object} is not programmed as it is written",
        story: "A listener refers to a certificate that is not there, or the configuration that it names is not valid. Istio says \
                nothing in the status of a gateway whose `parametersRef` it cannot use: look at istiod's log then.",
        mend: "correct what the condition names",
        command: "kubectl -n {namespace} describe gateway {name}",
    },
    Rule {
        id: "route-not-accepted",
        title: "The gateway does not take a route",
        seen: "`NotAllowedByListeners`, `NoMatchingParent`, `NoMatchingListenerHostname`, `InvalidKind`, `RefNotPermitted`",
        weight: 65,
        looks: &[
            Look {
                sources: &[Condition],
                reasons: &[
                    "NotAllowedByListeners",
                    "NoMatchingParent",
                    "NoMatchingListenerHostname",
                    "InvalidKind",
                    "RefNotPermitted",
                    "InvalidDestination",
                    "UnsupportedValue",
                ],
                ..ANY
            },
            Look {
                any: &[
                    "are not allowed by any listener",
                    "hostnames matched parent hostname",
                    "notallowedbylisteners",
                    "nomatchingparent",
                ],
                ..ANY
            },
        ],
        known_by: Known::Subject,
        names: &[],
        sentence: "{object} is refused by its gateway",
        story: "A listener takes routes of its own namespace only, unless `allowedRoutes.namespaces.from` says All or names \
                labels; its hostname and section must fit; a backend in another namespace needs a ReferenceGrant. InvalidKind of an \
                InferencePool means that istiod was not told to support it (ENABLE_GATEWAY_API_INFERENCE_EXTENSION).",
        mend: "allow the namespace at the listener, or correct the route's parent, hostname or backend",
        command: "kubectl -n {namespace} describe httproute {name}",
    },
    Rule {
        id: "backend-not-found",
        title: "A route leads nowhere",
        seen: "`ResolvedRefs` is False: `BackendNotFound`",
        weight: 63,
        looks: &[
            Look { sources: &[Condition, Event, Refusal], reasons: &["BackendNotFound"], ..ANY },
            Look { any: &["backendnotfound"], ..ANY },
            Look {
                sources: &[Refusal],
                kinds: &["Service", "InferencePool"],
                any: &["deleted by another hand"],
                ..ANY
            },
            Look { any: &["backend("], all: &["not found"], ..ANY },
        ],
        known_by: Known::Subject,
        names: &[("backend(", ")")],
        sentence: "{object} leads to {what}, which is not there",
        story: "The Service or InferencePool that the route names does not exist; requests are answered with 500 or 503.",
        mend: "make it, or correct the name in the route; one that KServe makes comes with its LLMInferenceService",
        command: "kubectl -n {namespace} get services,inferencepools",
    },
    Rule {
        id: "cni-missing",
        title: "The network plugin is missing",
        seen: "`NetworkPluginNotReady`, `cni plugin not initialized`, `FailedCreatePodSandBox`, `istio-validation` fails",
        weight: 69,
        looks: &[
            Look { sources: &[Condition], kinds: &["Node"], any: &["cni", "network plugin"], ..ANY },
            Look { reasons: &["FailedCreatePodSandBox", "NetworkNotReady"], ..ANY },
            Look { reasons: &["IstioCNINotFound", "IstioCNINotHealthy"], ..ANY },
            Look {
                any: &[
                    "cni plugin not initialized",
                    "failed to setup network for sandbox",
                    "plugin type=\"istio-cni\"",
                    "istiocni resource",
                ],
                ..ANY
            },
            Look {
                sources: &[Container, Log, Refusal],
                any: &["istio-validation", "iptables rules", "error connecting to 127.0.0.6"],
                ..ANY
            },
        ],
        known_by: Known::Subject,
        names: &[],
        sentence: "{object} has no network, or pods are not redirected to their sidecars: a CNI plugin is missing or not healthy",
        story: "Kubelets start no pods without a network plugin. With Istio's CNI, a pod's init container istio-validation fails \
                while the node's agent is not there; on GKE the plugin belongs into /home/kubernetes/bin.",
        mend: "see the DaemonSet of the plugin on that node (istio-cni-node; on GKE netd or anetd in kube-system) and the quota of \
               its namespace; pods that have failed come up when they are deleted",
        command: "kubectl get daemonsets --all-namespaces",
    },
    Rule {
        id: "sidecar-not-injected",
        title: "A pod has no sidecar",
        seen: "a pod in a mesh has no container `istio-proxy`; calls to it are reset",
        weight: 51,
        looks: &[Look { sources: &[Object], reasons: &["NoSidecar"], ..ANY }],
        known_by: Known::Subject,
        names: &[],
        sentence: "{object} should have a sidecar and has none: with strict mutual TLS nobody in the mesh can speak with it",
        story: "Sidecars are put into pods when they are made. A pod that was there before istiod's webhook, or before the \
                namespace's label, has none until it is made anew.",
        mend: "restart what made the pod once istiod's webhook is there, or take the label off where no sidecar is meant",
        command: "kubectl -n {namespace} delete pod {name}",
    },
];

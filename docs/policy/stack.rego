# Rules over `stackwright plan --json` that no table of [[policy]] can say. See docs/policy.md.
package stack

import rego.v1

# A pool of more than four nodes is asked for, not planned.
deny contains message if {
	some change in input.resource_changes
	change.type == "gke.node_pool"
	change.change.after.nodes > 4
	message := sprintf("%s has %d nodes: more than 4 need a ticket", [change.address, change.change.after.nodes])
}

# Whoever plans nodes for a model knows what an hour costs.
deny contains message if {
	count([change | some change in input.resource_changes; "create" in change.change.actions]) > 0
	input.cost.after.per_hour > 1
	message := sprintf("the stack would cost $%.2f an hour: more than $1.00", [input.cost.after.per_hour])
}

# What runs is what was tested.
deny contains message if {
	some change in input.resource_changes
	change.type == "k8s.object"
	change.change.after.kind in {"Deployment", "StatefulSet", "DaemonSet"}
	some container in change.change.after.spec.template.spec.containers
	not contains(container.image, "@sha256:")
	message := sprintf("%s of %s runs %s without a digest", [container.name, change.address, container.image])
}

# Nothing with a volume goes together with a change of anything else.
deny contains message if {
	some change in input.resource_changes
	"delete" in change.change.actions
	change.change.before.kind == "PersistentVolumeClaim"
	input.summary.destroy > 1
	message := sprintf("%s goes with %d others: take it away alone", [change.address, input.summary.destroy - 1])
}

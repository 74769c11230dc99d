"""All loops together: each is started beside the others and started again by itself should it ever fail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from motet.api.attributes import Attributes
from motet.api.quota.book import QuotaBook
from motet.api.users import User
from motet.base import supervise
from motet.base.clock import Clock
from motet.client.events import EventRecorder
from motet.client.interface import Client
from motet.controllers.accounttokens import AccountTokens
from motet.controllers.admissionpolicies import AdmissionPolicyChecks
from motet.controllers.apiservices import ApiServices, Probe
from motet.controllers.app import Apps
from motet.controllers.appautoscale import AppAutoscalers
from motet.controllers.attachments import Attachments
from motet.controllers.autoscaler import Autoscalers, PodMetrics, no_metrics
from motet.controllers.budgets import DisruptionBudgets
from motet.controllers.certificates.loop import Certificates
from motet.controllers.clusterroles import AggregatedRoles
from motet.controllers.cronjob import CronJobs
from motet.controllers.custommetrics import Ask, nobody
from motet.controllers.customresources import CustomResources
from motet.controllers.daemonset import DaemonSets
from motet.controllers.deployment import Deployments
from motet.controllers.elsewhere import Nobody, Others
from motet.controllers.endpointslicemirroring import EndpointSliceMirroring
from motet.controllers.endpointslices import EndpointSlices
from motet.controllers.ephemeralvolumes import EphemeralVolumes
from motet.controllers.eventexpiry import EventExpiry
from motet.controllers.eviction import TaintEviction
from motet.controllers.flowschemas import FlowSchemas
from motet.controllers.garbage import GarbageCollector
from motet.controllers.ingresses import Ingresses
from motet.controllers.job import Jobs
from motet.controllers.jobtracking import JobTracking
from motet.controllers.leader import Alone, Leadership
from motet.controllers.loadbalancers import LoadBalancers
from motet.controllers.namespaces import Namespaces
from motet.controllers.nodes import NodeHealth
from motet.controllers.podcidr import PodCidrs
from motet.controllers.podgc import PodGarbage, PodGcConfig
from motet.controllers.replicaset import ReplicaSets
from motet.controllers.replicationcontroller import replication_controllers
from motet.controllers.resourcequotas import ResourceQuotas
from motet.controllers.serviceaccounts import NamespaceDefaults
from motet.controllers.statefulset import StatefulSets
from motet.controllers.ttlafterfinished import TtlAfterFinished
from motet.controllers.volumes import Volumes
from motet.identity.accounts import Lasting
from motet.identity.authority import Authority
from motet.kinds.catalogue import Catalogue

_log = logging.getLogger("motet.controllers")


@dataclass(frozen=True, slots=True)
class ControllersConfig:
    """What the loops need to know of the cluster. Times are in seconds, `ca_certificate` is PEM text."""

    ca_certificate: str = ""
    # What signs the tokens in Secrets; without it there are none. `legacy_tokens`: one for every account.
    account_tokens: Lasting | None = None
    legacy_tokens: bool = False
    # The root that signs certificates, and who may have theirs approved by themselves; without them none are signed.
    authority: Callable[[], Authority] | None = None
    may: Callable[[User, Attributes], bool] = lambda user, asked: False
    # What is used of quotas; without it their status is not written.
    quotas: QuotaBook | None = None
    # One for each family of addresses, IPv4 first.
    pod_networks: tuple[str, ...] = ("10.42.0.0/16",)
    volumes_directory: str = "/var/lib/motet/volumes"
    node_grace: float = 40.0
    pod_gc: PodGcConfig = PodGcConfig()
    pod_metrics: PodMetrics = no_metrics
    # How the servers behind APIServices are asked for a sign of life; without it nobody looks after APIServices.
    probe: Probe | None = None
    # How the servers of other metrics are asked; without it autoscalers know resources only.
    metrics_apis: Ask = nobody
    # What other servers keep in a namespace goes with it.
    others: Others = Nobody()


async def run_all(
    client: Client,
    clock: Clock,
    config: ControllersConfig = ControllersConfig(),
    *,
    catalogue: Catalogue | None = None,
    leadership: Leadership = Alone(),
) -> None:
    """Run every controller until cancelled. `catalogue` is what the API serves; the built-in kinds by default."""
    kinds = catalogue or Catalogue()
    await leadership.lead(lambda: _run(client, clock, config, kinds))


async def _run(client: Client, clock: Clock, config: ControllersConfig, catalogue: Catalogue) -> None:
    def events(component: str) -> EventRecorder:
        recorder = EventRecorder(client, clock, component)
        recorders.append(recorder)
        return recorder

    recorders: list[EventRecorder] = []
    node_events = events("node-controller")
    loops: dict[str, Callable[[], Awaitable[None]]] = {
        "replicaset": ReplicaSets(client, clock, events("replicaset-controller")).run,
        "replicationcontroller": replication_controllers(client, clock, events("replication-controller")).run,
        "deployment": Deployments(client, clock, events("deployment-controller")).run,
        "daemonset": DaemonSets(client, clock, events("daemonset-controller")).run,
        "statefulset": StatefulSets(client, clock, events("statefulset-controller")).run,
        "job": Jobs(client, clock, events("job-controller")).run,
        "cronjob": CronJobs(client, clock, events("cronjob-controller")).run,
        "job-tracking": JobTracking(client, clock).run,
        "ttl-after-finished": TtlAfterFinished(client, clock).run,
        "autoscaler": Autoscalers(
            client, clock, events("horizontal-pod-autoscaler"), catalogue, config.pod_metrics, config.metrics_apis
        ).run,
        "app": Apps(client, clock, events("app-controller")).run,
        "app-autoscale": AppAutoscalers(client, clock, events("app-controller")).run,
        "endpointslice": EndpointSlices(client, clock).run,
        "endpointslice-mirroring": EndpointSliceMirroring(client, clock).run,
        "custom-resources": CustomResources(client, clock, catalogue).run,
        "admission-policies": AdmissionPolicyChecks(client, clock, catalogue).run,
        "flow-schemas": FlowSchemas(client, clock).run,
        "event-expiry": EventExpiry(client, clock).run,
        "garbage": GarbageCollector(client, clock, catalogue).run,
        "namespace": Namespaces(client, clock, catalogue, config.others).run,
        "clusterrole-aggregation": AggregatedRoles(client, clock).run,
        "serviceaccount": NamespaceDefaults(client, clock, config.ca_certificate).run,
        "node": NodeHealth(client, clock, node_events, config.node_grace).run,
        "taint-eviction": TaintEviction(client, clock, events("taint-eviction-controller")).run,
        "disruption": DisruptionBudgets(client, clock, events("disruption-controller"), catalogue).run,
        "pod-gc": PodGarbage(client, clock, config.pod_gc).run,
        "volume": Volumes(client, clock, events("persistentvolume-controller"), config.volumes_directory).run,
        "attach-detach": Attachments(client, clock, events("attachdetach-controller")).run,
        "ephemeral-volume": EphemeralVolumes(client, clock, events("ephemeral-volume-controller")).run,
        "ingress": Ingresses(client, clock).run,
        "load-balancer": LoadBalancers(client, clock, events("service-controller")).run,
        "pod-cidr": PodCidrs(client, clock, node_events, config.pod_networks).run,
    }
    if config.account_tokens is not None:
        loops["account-tokens"] = AccountTokens(
            client, clock, config.account_tokens, config.ca_certificate, one_each=config.legacy_tokens
        ).run
    if config.quotas is not None:
        loops["resourcequota"] = ResourceQuotas(client, clock, config.quotas).run
    if config.probe is not None:
        loops["apiservice"] = ApiServices(client, clock, catalogue, config.probe).run
    if config.authority is not None:
        loops["certificates"] = Certificates(client, clock, config.authority, config.may).run
    async with asyncio.TaskGroup() as group:
        for name, run in loops.items():
            group.create_task(supervise.forever(name, run, log=_log, clock=clock), name=f"controller {name}")
        for number, recorder in enumerate(recorders):
            group.create_task(supervise.forever("events", recorder.run, log=_log, clock=clock), name=f"events {number}")

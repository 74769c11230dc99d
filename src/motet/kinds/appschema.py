"""What an App is made of, field by field: the definitions and the words `kubectl explain` has for them."""

from __future__ import annotations

from motet.kinds.schema import table
from motet.kinds.schema.prose import Prose, register

APP = "dev.motet.v1.App"

table.register("""
dev.motet.v1.App <motet.dev/v1/App> apiVersion:string kind:string metadata:meta.ObjectMeta=1
  spec!:AppSpec=2 status:AppStatus=3
dev.motet.v1.AppList <motet.dev/v1/AppList> apiVersion:string items!:[]App=2 kind:string metadata:meta.ListMeta=1
dev.motet.v1.AppSpec mode:AppMode=1 template!:core.PodTemplateSpec=2 update:AppUpdate=3 rollback:AppUpdate=4
  restart:AppRestart=5 placement:AppPlacement=6 taskHistoryLimit:int32=7 revisionHistoryLimit:int32=8
  forceUpdate:int64=9 paused:bool=10 expandTemplates:bool=11
  hostnameTemplate:string=12 schedule:AppSchedule=13
  dependsOn:[]AppDependency=14;list=map:name;merge=name;patch=merge autoscale:AppAutoscale=15
dev.motet.v1.AppSchedule cron:string=1 timeZone:string=2 overlap:string=3 startingDeadlineSeconds:int64=4
dev.motet.v1.AppDependency name!:string=1 condition:string=2
dev.motet.v1.AppAutoscale minReplicas:int32=1 maxReplicas:int32=2 cpuPercent:int32=3
dev.motet.v1.AppMode replicated:AppReplicated=1 global:AppGlobal=2 replicatedJob:AppReplicatedJob=3 globalJob:AppGlobal=4
dev.motet.v1.AppReplicated replicas:int32=1
dev.motet.v1.AppGlobal
dev.motet.v1.AppReplicatedJob maxConcurrent:int32=1 totalCompletions:int32=2
dev.motet.v1.AppUpdate parallelism:int32=1 delaySeconds:double=2 order:string=3 monitorSeconds:double=4
  failureAction:string=5 maxFailureRatio:double=6 minimumHealthyPercent:int32=7 maximumPercent:int32=8
dev.motet.v1.AppRestart condition:string=1 delaySeconds:double=2 maxAttempts:int32=3 windowSeconds:double=4
dev.motet.v1.AppPlacement constraints:[]string=1 preferences:[]AppPreference=2 maxReplicasPerNode:int32=3
dev.motet.v1.AppPreference spread:string=1
dev.motet.v1.AppStatus observedGeneration:int64=1 replicas:int32=2 updatedReplicas:int32=3 readyReplicas:int32=4
  availableReplicas:int32=5 conditions:[]meta.Condition=6;list=map:type;merge=type;patch=merge selector:string=7
  desiredReplicas:int32=8 version:string=9 currentRevision:string=10 previousRevision:string=11
  update:AppUpdateStatus=12 job:AppJobStatus=13 schedule:AppScheduleStatus=14 dependenciesMetFor:string=15
dev.motet.v1.AppUpdateStatus state:string=1 version:string=2 startedAt:time=3 completedAt:time=4 message:string=5
  failures:int32=6
dev.motet.v1.AppScheduleStatus words:string=1 since:time=2 lastRunTime:time=3 nextRunTime:time=4 version:string=5
  forced:int64=6
dev.motet.v1.AppJobStatus iteration:int64=1 completed:int32=2 active:int32=3 failed:int32=4 startedAt:time=5
  completedAt:time=6
""")

register(
    {
        "dev.motet.v1.App": Prose(
            "A program to keep running, or to run to its end: so many copies of it, or one on every node.",
            {"spec": "What shall run.", "status": "What runs; written by Motet."},
        ),
        "dev.motet.v1.AppSpec": Prose(
            "What shall run.",
            {
                "mode": "How many pods, and where. Exactly one member of it is set; without one it is replicated.",
                "template": "What every pod of the App looks like. Its pods get the label motet.dev/app by themselves.",
                "update": "How pods are replaced when the template changes. Not for jobs.",
                "rollback": "How pods are replaced when the App goes back to what it was before. Not for jobs.",
                "restart": "When a pod that ended gets a successor. With it every pod is a task that runs once and is "
                "replaced, never restarted, and the template's restartPolicy is Never. Without it the node restarts "
                "containers in place, as the template's restartPolicy says. Jobs always have it.",
                "placement": "Which nodes the pods may be on, and which they would rather be on.",
                "taskHistoryLimit": "How many ended pods of one slot are kept to look at. 5 where there is a restart "
                "policy; else none that were stopped are kept.",
                "revisionHistoryLimit": "How many earlier revisions are kept to go back to; 10 without a word.",
                "forceUpdate": "Any other number than before replaces all pods, though the template is the same; of a "
                "job, runs it again.",
                "paused": "While true, an update does not go on. Lost pods are still replaced.",
                "expandTemplates": "Whether {{.Service.Name}}, {{.Task.Slot}}, {{.Node.Hostname}} and their like are "
                "filled in, in environment variables, hostnameTemplate, volumes and their mounts.",
                "hostnameTemplate": "The host name of each pod, with such placeholders; with expandTemplates.",
                "schedule": "When a job runs, again and again. Its first run is at the first of these times; a change of "
                "the template counts from the next run on, and another forceUpdate runs it at once.",
                "dependsOn": "Other Apps of the namespace that have to be so far before tasks of a new version, or run, "
                "begin. What has begun is not stopped, and is replaced when it is lost, whatever becomes of them.",
                "autoscale": "Lets the number of replicas follow the use of CPU, by a HorizontalPodAutoscaler of the App's "
                "name that it owns.",
            },
        ),
        "dev.motet.v1.AppSchedule": Prose(
            "When a job runs. What came due while nobody could begin it is made up for by one run.",
            {
                "cron": "Five fields as cron has them, a macro such as @daily, or @every 90s.",
                "timeZone": "By which clocks, such as Europe/Berlin; UTC without a word.",
                "overlap": "What becomes of a run that is due while the one before has not ended: skip leaves it out, "
                "replace stops the one before. skip without a word.",
                "startingDeadlineSeconds": "How late a run may begin; without a word, at any time.",
            },
        ),
        "dev.motet.v1.AppDependency": Prose(
            "Another App that has to be so far.",
            {
                "name": "Its name.",
                "condition": "started: as many pods run as it wants; healthy: as many are ready; completed: as many have "
                "ended well. started without a word.",
            },
        ),
        "dev.motet.v1.AppAutoscale": Prose(
            "Between which numbers of replicas, and at which use of CPU.",
            {
                "minReplicas": "How many there are at the least; 1 without a word.",
                "maxReplicas": "How many there are at the most.",
                "cpuPercent": "Which share of the CPU they ask for the replicas use on average; 80 without a word.",
            },
        ),
        "dev.motet.v1.AppMode": Prose(
            "How many pods, and where. Exactly one member is set, and which one it is does not change.",
            {
                "replicated": "A number of pods, wherever there is room.",
                "global": "One pod on every node that takes it. Written as: global: {}",
                "replicatedJob": "A number of pods that each run to their end once.",
                "globalJob": "One pod on every node that takes it, run to its end once. Written as: globalJob: {}",
            },
        ),
        "dev.motet.v1.AppReplicated": Prose(
            "A number of pods, wherever there is room.", {"replicas": "How many pods; 1 without a word."}
        ),
        "dev.motet.v1.AppGlobal": Prose("One pod on every node that takes it. It has no fields."),
        "dev.motet.v1.AppReplicatedJob": Prose(
            "A number of pods that each run to their end once.",
            {
                "maxConcurrent": "How many run at a time; totalCompletions without a word.",
                "totalCompletions": "How many have to end well; maxConcurrent without a word, and 1 without either.",
            },
        ),
        "dev.motet.v1.AppUpdate": Prose(
            "How pods are replaced by those of another version.",
            {
                "parallelism": "How many slots are between an old and a new pod at a time; 0 is all at once.",
                "delaySeconds": "How long to wait between one batch and the next.",
                "order": "stop-first or start-first: whether an old pod goes before its successor comes, or after.",
                "monitorSeconds": "For how long after its start a new pod's end counts as a failure of the update; 5 "
                "without a word.",
                "failureAction": "What to do when too many new pods fail: pause, continue or, in an update, rollback.",
                "maxFailureRatio": "Which share of the slots may fail, from 0 to 1, before failureAction is taken.",
                "minimumHealthyPercent": "Which part of the pods wanted is ready at any time, rounded up. 0: any.",
                "maximumPercent": "How many pods there may be at a time, in percent of those wanted, rounded down. "
                "Without a word there is no limit but that of the order.",
            },
        ),
        "dev.motet.v1.AppRestart": Prose(
            "When a pod that ended gets a successor in its slot.",
            {
                "condition": "any, on-failure or none: after which ends. any without a word; on-failure for jobs, which "
                "any is not for. Pods that were lost with their node or evicted always get one.",
                "delaySeconds": "How long to wait between an end and the successor; 5 without a word.",
                "maxAttempts": "How many successors a slot gets; 0 is any number.",
                "windowSeconds": "Only successors this long ago count towards maxAttempts; 0 is all of them.",
            },
        ),
        "dev.motet.v1.AppPlacement": Prose(
            "Which nodes the pods may be on, and which they would rather be on.",
            {
                "constraints": "All must hold of a node. Each is written as node.hostname == a, or with != . Of nodes "
                "there are node.name, node.hostname, node.role, node.platform.os, node.platform.arch and "
                "node.labels.KEY. A pod whose node no longer fits is moved.",
                "preferences": "What to spread the pods over, the most important first.",
                "maxReplicasPerNode": "How many pods of the App one node takes at the most; 0 is any number. Only where "
                "there are replicas.",
            },
        ),
        "dev.motet.v1.AppPreference": Prose(
            "Something to spread the pods over.", {"spread": "A label of nodes, as node.labels.KEY."}
        ),
        "dev.motet.v1.AppStatus": Prose(
            "What runs; written by Motet.",
            {
                "observedGeneration": "The generation of the App that the other fields are about.",
                "replicas": "How many pods there are that have not ended.",
                "updatedReplicas": "How many of them are of the present version.",
                "readyReplicas": "How many of them are ready.",
                "availableReplicas": "How many of them can serve.",
                "conditions": "What can be said about the App as a whole.",
                "selector": "The label selector of its pods, for whoever scales it.",
                "desiredReplicas": "How many pods there should be; of a global App, on how many nodes.",
                "version": "The present version, as its pods have it in the label motet.dev/template-hash.",
                "currentRevision": "The name of the ControllerRevision that holds what is rolled out now.",
                "previousRevision": "The name of the ControllerRevision that a rollback would go back to.",
                "update": "How the last update or rollback went; missing before the first one.",
                "job": "How far a job is.",
                "schedule": "How a schedule goes.",
                "dependenciesMetFor": "The version (of a job, with its run) whose dependencies have been met.",
            },
        ),
        "dev.motet.v1.AppScheduleStatus": Prose(
            "How a schedule goes.",
            {
                "words": "The schedule that the other fields are about.",
                "since": "Times up to then are done with.",
                "lastRunTime": "When the latest run was due.",
                "nextRunTime": "When the next one is; missing while it is paused.",
                "version": "The version that the latest run is of.",
                "forced": "The forceUpdate that has been followed.",
            },
        ),
        "dev.motet.v1.AppUpdateStatus": Prose(
            "How an update or a rollback goes.",
            {
                "state": "updating, paused, completed, rollback_started, rollback_paused or rollback_completed.",
                "version": "The version that is being rolled out.",
                "startedAt": "When it began.",
                "completedAt": "When it was done.",
                "message": "Why it is in this state.",
                "failures": "In how many slots a new pod failed within the time it was watched.",
            },
        ),
        "dev.motet.v1.AppJobStatus": Prose(
            "How far a job is.",
            {
                "iteration": "Which run of the job this is; its pods have it in the label motet.dev/iteration.",
                "completed": "How many slots have ended well.",
                "active": "How many pods have not ended.",
                "failed": "How many slots have failed for good.",
                "startedAt": "When this run began.",
                "completedAt": "When the last slot ended, well or for good.",
            },
        ),
    }
)

//go:build linux

package main

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// The cases of what replicas keep, or do not keep, when they end.
func init() {
	kv := []string{"state_machine: kv"}
	faults = append(faults, []fault{
		{
			name: "kill-memory", what: "SIGKILL of a backup that keeps nothing on disk: it comes back as a learner",
			settings: []string{"durability: memory"}, act: forget,
		},
		{
			name: "kill-disk", what: "SIGKILL of the primary, which goes on from its disk",
			longer: 2, act: killAndRestart,
		},
		{
			name: "crash", what: "SIGKILL of some or all replicas at random, who go on from their disks (--rounds, --seed)",
			long: true, limit: 4 * time.Hour, settings: append([]string{"ckpt_interval: 16"}, kv...), alone: crashAlone,
		},
		{
			name: "rolling-disk", what: "SIGTERM and a new start of each replica in turn",
			settings: kv, alone: rollingAlone,
		},
		{
			name: "disk-full", what: "the primary's disk becomes full, and has room again later",
			mounts: true, possible: cannotMount, before: mountOne, longer: 3, size: 4096, act: fillUp,
		},
		{
			name: "disk-io", what: "the primary's disk fails, and is mounted again later",
			mounts: true, possible: cannotMount, before: mountOne, longer: 2, act: failDisk,
		},
		{name: "disk-lost", what: "a backup comes back without its directory", longer: 2, act: loseDirectory},
		{name: "disk-old", what: "a backup comes back with an old copy of its directory", longer: 2, act: restoreOld},
		{name: "disk-damaged", what: "a byte of a backup's log is changed", longer: 2, act: damageLog},
		{
			name: "bounded", what: "ten million puts on the same keys (--requests): disk and memory stay bounded",
			long: true, limit: boundedLimit, alone: boundedAlone,
			settings: append([]string{fmt.Sprintf("history_keep: %d MiB", boundedKeep), "history_bytes: 64 MiB"}, kv...),
		},
		{
			name: "turns", what: "a million keys, and puts on them: no turn of a replica's loop is long",
			long: true, limit: turnsLimit, alone: turnsAlone,
			settings: append([]string{fmt.Sprintf("history_keep: %d MiB", boundedKeep), "history_bytes: 64 MiB"}, kv...),
		},
	}...)
}

func forget(ctx context.Context, r *run) error {
	i, err := r.cluster.backup(ctx)
	if err != nil {
		return err
	}
	r.cluster.kill(i)
	r.cluster.learns[i] = true
	return r.comeBack(ctx, i)
}

func killAndRestart(ctx context.Context, r *run) error {
	i, err := r.cluster.primary(ctx)
	if err != nil {
		return err
	}
	if err := r.cluster.end(i, syscall.SIGKILL); err != nil {
		return err
	}
	<-r.cluster.procs[i].done
	if err := sleep(ctx, r.hold); err != nil {
		return err
	}
	return r.comeBack(ctx, i)
}

#!/bin/bash
# etcd, kube-apiserver, kube-controller-manager, kube-scheduler.
set -euo pipefail
. "$(dirname "$0")/env.sh"
ready() { curl -sf --cacert "$pki/ca.crt" --cert "$pki/admin.crt" --key "$pki/admin.key" "$api$1"; }

start etcd etcd --name default --data-dir "$live/etcd" \
    --listen-client-urls http://127.0.0.1:12379 --advertise-client-urls http://127.0.0.1:12379 \
    --listen-peer-urls http://127.0.0.1:12380 --initial-advertise-peer-urls http://127.0.0.1:12380 \
    --initial-cluster default=http://127.0.0.1:12380 --unsafe-no-fsync
wait_for 600 curl -sf http://127.0.0.1:12379/health
start kube-apiserver kube-apiserver \
    --bind-address=$node_ip --advertise-address=$node_ip --secure-port=6443 \
    --etcd-servers=http://127.0.0.1:12379 --service-cluster-ip-range=$service_cidr \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
    --client-ca-file="$pki/ca.crt" --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
    --kubelet-client-certificate="$pki/apiserver-kubelet-client.crt" \
    --kubelet-client-key="$pki/apiserver-kubelet-client.key" --kubelet-preferred-address-types=InternalIP \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
    --requestheader-client-ca-file="$pki/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
    --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group \
    --requestheader-username-headers=X-Remote-User \
    --proxy-client-cert-file="$pki/front-proxy-client.crt" --proxy-client-key-file="$pki/front-proxy-client.key"
wait_for 600 ready /readyz
# The HPA controller asks for external metrics by its own account: keda.sh gives it the right.
start kube-controller-manager kube-controller-manager --bind-address=127.0.0.1 \
    --kubeconfig="$conf/controller-manager.conf" --authentication-kubeconfig="$conf/controller-manager.conf" \
    --authorization-kubeconfig="$conf/controller-manager.conf" --root-ca-file="$pki/ca.crt" \
    --service-account-private-key-file="$pki/sa.key" --cluster-signing-cert-file="$pki/ca.crt" \
    --cluster-signing-key-file="$pki/ca.key" --use-service-account-credentials=true --leader-elect=false \
    --horizontal-pod-autoscaler-sync-period=5s --node-monitor-grace-period=50s
start kube-scheduler kube-scheduler --bind-address=127.0.0.1 --kubeconfig="$conf/scheduler.conf" \
    --authentication-kubeconfig="$conf/scheduler.conf" --authorization-kubeconfig="$conf/scheduler.conf" --leader-elect=false
wait_for 600 ready /api/v1/namespaces/default/serviceaccounts/default

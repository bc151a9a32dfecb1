#!/bin/bash
# KEDA whole: its objects and rights, its operator and its adapter as processes beside the cluster, and the APIService by which
# the apiserver passes external.metrics.k8s.io on to the adapter (an ExternalName service to localhost).
set -euo pipefail
. "$(dirname "$0")/env.sh"
kubectl create namespace keda
kubectl apply --server-side -f "$bin/keda-crds/"
wait_for 600 kubectl wait --for=condition=Established crd --all --timeout=2s
kubectl apply -f - <<Y
apiVersion: v1
kind: Service
metadata: {name: keda-metrics-apiserver, namespace: keda}
spec: {type: ExternalName, externalName: localhost}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.external.metrics.k8s.io}
spec:
  group: external.metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  caBundle: $(base64 -w0 "$pki/ca.crt")
  service: {name: keda-metrics-apiserver, namespace: keda, port: 17443}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: keda-external-metrics-reader}
rules: [{apiGroups: [external.metrics.k8s.io], resources: ['*'], verbs: ['*']}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: keda-hpa-controller-external-metrics}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: keda-external-metrics-reader}
subjects: [{kind: ServiceAccount, name: horizontal-pod-autoscaler, namespace: kube-system}]
Y
export POD_NAMESPACE=keda POD_NAME=keda-operator WATCH_NAMESPACE='' KEDA_CLUSTER_OBJECT_NAMESPACE=keda
start keda-operator keda-operator --kubeconfig="$conf/admin.conf" --leader-elect=false --enable-cert-rotation=false \
    --cert-dir="$pki/keda" --metrics-bind-address=127.0.0.1:18080 --health-probe-bind-address=127.0.0.1:18081 \
    --metrics-service-bind-address=127.0.0.1:19666 --zap-log-level=info --zap-encoder=console --zap-time-encoding=rfc3339
wait_for 600 curl -sf http://127.0.0.1:18081/readyz
# Outside of the cluster it wants all four kubeconfigs.
start keda-adapter keda-adapter --kubeconfig="$conf/admin.conf" --lister-kubeconfig="$conf/admin.conf" \
    --authentication-kubeconfig="$conf/admin.conf" --authorization-kubeconfig="$conf/admin.conf" \
    --bind-address=127.0.0.1 --secure-port=17443 --client-ca-file="$pki/ca.crt" \
    --tls-cert-file="$pki/keda/tls.crt" --tls-private-key-file="$pki/keda/tls.key" \
    --cert-dir="$pki/keda" --metrics-service-address=localhost:19666 --port=18082
wait_for 600 kubectl get --raw /apis/external.metrics.k8s.io/v1beta1

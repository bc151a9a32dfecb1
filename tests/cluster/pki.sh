#!/bin/bash
# Certificates, the service accounts' keys and kubeconfigs.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$pki"

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key" 2>/dev/null; }

# authority NAME SUBJECT
authority() {
    key "$1"
    openssl req -x509 -new -key "$1.key" -subj "/CN=$2" -days 30 -out "$1.crt" \
        -addext 'keyUsage=critical,keyCertSign,digitalSignature,cRLSign' 2>/dev/null
}

# certificate NAME AUTHORITY SUBJECT [ALTERNATIVE-NAMES]
certificate() {
    key "$1"
    openssl req -new -key "$1.key" -subj "$3" -out "$1.csr" 2>/dev/null
    {
        echo 'keyUsage=critical,digitalSignature,keyEncipherment'
        echo 'extendedKeyUsage=serverAuth,clientAuth'
        [ -z "${4:-}" ] || echo "subjectAltName=$4"
    } >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -days 30 -extfile "$1.ext" \
        -out "$1.crt" 2>/dev/null
    rm -f "$1.csr" "$1.ext"
}

# dns NAME: under all the names that a service has inside of a cluster.
dns() { printf 'DNS:%s,DNS:%s.svc,DNS:%s.svc.cluster.local' "$1" "$1" "$1"; }

# kubeconfig NAME CERTIFICATE
kubeconfig() {
    cat >"$conf/$1.conf" <<Y
apiVersion: v1
kind: Config
clusters: [{name: local, cluster: {server: $api, certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: user, user: {client-certificate-data: $(base64 -w0 "$2.crt"), client-key-data: $(base64 -w0 "$2.key")}}]
contexts: [{name: local, context: {cluster: local, user: user}}]
current-context: local
Y
    chmod 600 "$conf/$1.conf"
}

authority ca kubernetes-ca
authority front-proxy-ca front-proxy-ca
certificate apiserver ca /CN=kube-apiserver "IP:127.0.0.1,IP:10.96.0.1,IP:$node_ip,DNS:localhost,DNS:kubernetes,$(dns kubernetes.default)"
certificate apiserver-kubelet-client ca /O=system:masters/CN=kube-apiserver-kubelet-client
certificate front-proxy-client front-proxy-ca /CN=front-proxy-client
certificate admin ca /O=system:masters/CN=kubernetes-admin
certificate controller-manager ca /CN=system:kube-controller-manager
certificate scheduler ca /CN=system:kube-scheduler
for name in "${nodes[@]}"; do
    certificate "$name" ca "/O=system:nodes/CN=system:node:$name"
    certificate "$name-server" ca "/O=system:nodes/CN=system:node:$name" "DNS:$name,DNS:localhost,IP:127.0.0.1,IP:$node_ip"
    kubeconfig "$name" "$name"
done
# KEDA: one certificate for its metrics service by gRPC (operator and adapter, mutual TLS) and for the adapter's https.
mkdir -p keda
certificate keda/tls ca /CN=KEDA "DNS:localhost,DNS:keda-operator,$(dns keda-operator.keda),$(dns keda-metrics-apiserver.keda),IP:127.0.0.1"
cp ca.crt keda/ca.crt
openssl genrsa -out sa.key 2048 2>/dev/null
openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
for name in admin controller-manager scheduler; do
    kubeconfig $name $name
done
chmod 600 ./*.key keda/*.key

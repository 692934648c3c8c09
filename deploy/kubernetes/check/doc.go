// Package check tests the manifests of deploy/kubernetes. It is a module of its own, because
// the program needs no library of Kubernetes.
package check

// Package ask asks services as they declare it: through the shared cache where
// answers are shared, in a lane where requests run one at a time, and under an ID
// that makes an effect once. Who asks is a service ([Asker]); the gateway has more
// to see to, and shares with it what an answer's identity is and how it is stored.
package ask

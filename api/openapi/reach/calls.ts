// Calls every route of the shop by the types that openapi-typescript makes of the documents.
import createClient from "openapi-fetch";
import type { components, paths as Services } from "./generated/openapi.js";
import type { paths as V3 } from "./generated/v3.js";

declare const process: { argv: string[] };
const baseUrl = process.argv[2] ?? "";
const called = new Set<string>();
const record = {
  onRequest({ schemaPath, request }: { schemaPath: string; request: Request }) {
    called.add(`${request.method} ${schemaPath}`);
  },
};
const client = createClient<Services>({ baseUrl });
client.use(record);
const v3 = createClient<V3>({ baseUrl });

type Ticket = components["schemas"]["Ticket"]["result"];

// ok returns the result of an answer that has to be a success, and not a ticket.
function ok<D extends { result: unknown }>(answer: { data?: D | undefined; error?: unknown; response: Response }): Exclude<D["result"], Ticket> {
  if (!answer.data) throw new Error(`${answer.response.url}: ${answer.response.status} ${JSON.stringify(answer.error)}`);
  return answer.data.result as Exclude<D["result"], Ticket>;
}

function equal(got: unknown, want: unknown) {
  if (got !== want) throw new Error(`got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
}

const created = await client.POST("/users", { body: { name: "Ada", email: "ada@example.com" } });
equal(created.response.status, 201);
const user: { id: number; name: string } = ok(created);
equal(user.name, "Ada");
const path = { id: user.id };
const oska: string = ok(await client.GET("/users/{id}", { params: { path: { id: 1 } } })).name;
equal(oska, "Oska");
ok(await client.GET("/users", { params: { query: { limit: 2 } } })).users?.length;
ok(await client.GET("/users/count")).count.toFixed();
equal(ok(await client.PUT("/users/{id}", { params: { path }, body: { name: "Grace" } })).name, "Grace");
equal(ok(await client.PATCH("/users/{id}", { params: { path }, body: { name: "Ada" } })).name, "Ada");
equal(ok(await client.GET("/users/{id}/purchasable", { params: { path } })).purchasable, true);
equal(ok(await client.POST("/users/{id}/suspend", { params: { path } })).status, "suspended");
const refused = await client.GET("/users/{id}/purchasable", { params: { path } });
equal(refused.error?.error.code, "USER_SUSPENDED");
equal(ok(await client.DELETE("/users/{id}", { params: { path } })).deleted, true);

ok(await client.GET("/items")).items?.[0]?.stock.toFixed();
ok(await client.GET("/items/{id}", { params: { path: { id: 1 } } })).name.trim();
ok(await client.GET("/items/{id}/available", { params: { path: { id: 1 }, query: { quantity: 2 } } })).stock.toFixed();
ok(await client.POST("/items/{id}/reserve", { params: { path: { id: 1 } }, body: { quantity: 1 } })).reserved.toFixed();

const payment = ok(await client.POST("/payments", { body: { user_id: 1, item_id: 1, gateway: "A", amount: 5 } }));
equal(payment.amount, 5);
equal(ok(await client.GET("/payments/{id}", { params: { path: { id: payment.id } } })).gateway, "A");
ok(await client.GET("/payments", { params: { query: { user_id: 1 } } })).payments?.[0]?.reference.trim();

equal(ok(await client.GET("/vouchers/{code}", { params: { path: { code: "WELCOME10" } } })).code, "WELCOME10");
equal((await client.GET("/vouchers/{code}/unused", { params: { path: { code: "USED10" } } })).response.status, 409);
const redeemed = await client.POST("/vouchers/{code}/redeem", { params: { path: { code: "USED10" } }, body: { payment_id: payment.id } });
equal(redeemed.response.status, 409);

const later = await client.POST("/echo/sleep", { params: { header: { Prefer: "respond-async" } }, body: { ms: 1 } });
equal(later.response.status, 202);
const id = later.response.headers.get("Location")?.replace("/requests/", "") ?? "";
const ticket = await client.GET("/requests/{id}", { params: { path: { id }, query: { wait: 10 } } });
equal(ticket.data?.result.state, "done");
equal((await client.DELETE("/requests/{id}", { params: { path: { id } } })).response.status, 409);

// A version has its own body: a provider is one of three.
const gateway: "A" | "B" | "C" = "B";
equal(ok(await v3.POST("/v3/payments", { body: { user_id: 1, item_id: 1, gateway, amount: 7 } })).amount, 7);

const document: { paths: Record<string, Record<string, { tags: string[] }>> } = await (await fetch(baseUrl + "/openapi.json")).json();
for (const [route, item] of Object.entries(document.paths)) {
  for (const [method, operation] of Object.entries(item)) {
    if (["echo", "requests"].includes(operation.tags[0] ?? "")) continue;
    if (!called.has(`${method.toUpperCase()} ${route}`)) throw new Error(`nothing called ${method} ${route}`);
  }
}
console.log(`${called.size} routes were called by openapi-fetch`);

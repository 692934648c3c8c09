from mailroom import Conflict, Service, serve

greet = Service("greet", version="1.0.0")

@greet.get("/greet/:name")
async def hello(name: str) -> dict:
    return {"hello": name}

@greet.post("/greet")
def sign(ctx, name: str) -> dict:
    return {"signed": name, "id": ctx.id}
serve(greet)

#!/usr/bin/env python3
"""Records how jinja2, set up as in transformers, renders templates in the style of public ones:
tests/golden/templates.json.

The templates are written for this test; each uses the features of a family of models. Run with
target/real/venv/bin/python (setup.py). The environment is that of transformers' utils/chat_template_utils.py:
sandboxed, with trimmed blocks, the block `generation`, loop controls, and `tojson` as json.dumps.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

GOLDEN = Path(__file__).resolve().parents[1] / "golden/templates.json"


class Generation(Extension):
    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def environment() -> jinja2.Environment:
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(
            x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )

    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    return env


TALK = [
    {"role": "system", "content": "Be kind & brief."},
    {"role": "user", "content": " What is 2 < 3?\n"},
    {"role": "assistant", "content": '<think>\nhm\n</think>\n\nYes, it\'s "true".'},
    {"role": "user", "content": "Ünï 世界 😀"},
]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": 'The weather of a place, if it\'s <known> & "quoted".',
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "Ort: Zürich"},
                "days": {"type": "integer", "default": 1},
            },
            "required": ["place"],
        },
    },
}
CALLED = [
    {"role": "user", "content": "Weather?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "type": "function",
                "id": "abcdef123",
                "function": {"name": "get_weather", "arguments": {"place": "Zürich", "days": 2, "a": None}},
            }
        ],
    },
    {
        "role": "tool",
        "name": "get_weather",
        "tool_call_id": "abcdef123",
        "content": {"t": 1.5, "ok": True, "z": [], "y": {}},
    },
]
TURNS = {"messages": TALK}
TOOLS = {"messages": CALLED, "tools": [WEATHER]}
SHORT = {"messages": TALK[1:], "add_generation_prompt": False}

# A name, the template, and its variables.
TEMPLATES = [
    (
        'chatml with generation, as SmolLM3 and TRL mark it',
        """{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}
        {%- generation %}
            {{- message.content + '<|im_end|>' }}
        {%- endgeneration %}
        {{- '\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
        [TURNS, SHORT],
    ),
    (
        'generation on lines of its own, with a scope',
        """{% set x = 'outer' %}
{% for message in messages %}
  {% if message['role'] == 'assistant' %}
    {% generation %}
    {% set x = 'inner' %}
[{{ x }}] {{ message['content'] }}
    {% endgeneration %}
  {% elif message['role'] != 'system' %}
{{ x }}: {{ message['content'] }}
  {% endif %}
{% endfor %}
{% raw %}{% generation %}{{ a % b }}{% endraw %}
{# {% generation %} #}after
""",
        [TURNS],
    ),
    (
        'tools as JSON, as Qwen and Hermes list them',
        """{%- if tools %}
    {{- '<|im_start|>system\\n# Tools\\n<tools>' }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- endif %}
{%- for message in messages %}
    {%- if message.tool_calls %}
        {%- for call in message.tool_calls %}
            {%- set call = call.function if call.function is defined else call %}
            {{- '<tool_call>\\n{"name": "' ~ call.name ~ '", "arguments": ' ~ (call.arguments | tojson) ~ '}\\n</tool_call>' }}
        {%- endfor %}
    {%- elif message.role == 'tool' %}
        {{- '<tool_response>\\n' ~ (message.content if message.content is string else message.content | tojson) ~ '\\n</tool_response>' }}
    {%- else %}
        {{- message.role ~ ': ' ~ message.content }}
    {%- endif %}
{%- endfor %}
""",
        [TOOLS, TURNS],
    ),
    (
        'JSON in all its forms',
        """{{ tools|tojson(indent=4) }}
{{ tools[0].function.parameters|tojson(indent=2, sort_keys=true) }}
{{ tools[0].function|tojson(separators=(',', ':')) }}
{{ tools[0].function|tojson(ensure_ascii=true) }}
{{ tools[0]|tojson(ensure_ascii=False, indent=none) }}
{{ messages[2].content|tojson(indent=0) }}
{{ messages[2]|tojson(false, 1, (';', '=')) }}
{{ [1, -2, 1.0, 0.1, 1e16, 123456789012345.0, 1e-5, 0.0001, 1.5e300, true, none, 'a/b', '\\t\\x01\\x7f\\u2028']|tojson }}
{{ {'b': '<>', 'a': 1, 'c': {'z': [], 'y': {}}}|tojson }} {{ {1: 2, none: 3, false: 4}|tojson }} {{ []|tojson(indent=2) }}
{{ {'ü': '😀'}|tojson(ensure_ascii=True) }} {{ 'x'|tojson }} {{ (1, 2)|tojson }} {{ "it's"|tojson }}
{{ {'b': 1, 'a': [1, {'d': 1, 'c': 2}]}|tojson(indent='\\t', sort_keys=True) }}
""",
        [TOOLS],
    ),
    (
        'texts with % and the methods of Python\'s strings',
        """{{ 'Today is %s' % 'Monday' }}|{{ '%s: %d%%' % ('x', 42) }}|{{ "%02d:%02d" % (7, 5) }}|{{ '%.2f' % 1.005 }}|{{ '%5s|%-5s|' % ('a', 'b') }}
{{ '%(role)s says %(content)s' % messages[0] }}|{{ '%x %X %o' % (255, 255, 8) }}
{% set fmt = 'a%sb' %}
{{ fmt % messages|length }}|{{ fmt % 'x' ~ 'y' }}|{{ 7 % 3 }}|{{ -7 % 3 }}|{{ 7 % -3 }}|{{ 7.5 % 2 }}|{{ 2 * 7 % 4 }}|{{ 10 % 4 * 3 }}|{{ (1 + 6) % 4 }}
{% for m in messages %}{% if loop.index0 % 2 == 0 and not loop.index % (1 + 1) == 0 %}{{ loop.index % messages|length }}{% endif %}{% endfor %}

{{ 'a=b=c'.partition('=')|list }}|{{ 'a=b=c'.rpartition('=')[0] }}|{{ 'abc'.partition('x') }}|{{ 'abc'.rpartition('x') }}
{{ 'a,b,c'.rsplit(',', 1) }}|{{ ' a  b c '.rsplit() }}|{{ ' a  b c '.rsplit(none, 1) }}|{{ 'a,b,c'.rsplit(',') }}|{{ 'a,b,c'.rsplit(',', maxsplit=1)[-1] }}|{{ ''.rsplit() }}
{{ 'prefix-x'.removeprefix('prefix-') }}|{{ 'x.txt'.removesuffix('.txt') }}|{{ 'x'.removeprefix('y') }}|{{ 'x'.removesuffix('') }}
{{ '7'.zfill(3) }}|{{ '-7'.zfill(4) }}|{{ 'a'.ljust(3) }}|{{ 'a'.rjust(3, '.') }}|{{ messages[2].content.split('</think>')[-1].lstrip('\\n') }}
""",
        [TURNS],
    ),
    (
        'think cut off earlier answers, as Qwen 3 and DeepSeek R1 do it',
        """{%- set ns = namespace(last=-1) %}
{%- for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{{- bos_token }}
{%- for m in messages %}
{%- if m.role == 'assistant' %}
{%- set content = m.content %}
{%- if loop.index0 < ns.last and '</think>' in content %}{% set content = content.partition('</think>')[2].removeprefix('\\n').strip() %}{% endif %}
{{- '<|Assistant|>' ~ content ~ eos_token }}
{%- else %}
{{- '<|' ~ m.role|capitalize ~ '|>' ~ m.content|trim }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|Assistant|><think>\\n' if enable_thinking is not defined or enable_thinking else '<|Assistant|></think>' }}{% endif %}
""",
        [TURNS, TURNS | {'enable_thinking': False}, SHORT],
    ),
    (
        'alternating roles with an error, as Gemma and Mistral have it',
        """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- set first = messages[0]['content'] + '\\n\\n' -%}{%- set rest = messages[1:] -%}
{%- else -%}
    {%- set first = '' -%}{%- set rest = messages -%}
{%- endif -%}
{%- for message in rest -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}
    {{ '<start_of_turn>' + role + '\\n' + (first if loop.first else '') + message['content'] | trim + '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}
""",
        [TURNS, SHORT, {'messages': TALK[2:]}],
    ),
    (
        'a macro that calls itself, loop controls, items and tests',
        """{%- macro show(value, depth=0) -%}
{%- if value is mapping -%}
{%- for k, v in value.items() %}{{ '\\n' ~ '  ' * depth ~ k ~ ':' }}{{ show(v, depth=depth + 1) }}{% endfor -%}
{%- elif value is string -%}{{ ' ' ~ value|upper }}
{%- elif value is iterable -%}{% for v in value %}{% if loop.index > 2 %}{% break %}{% endif %}{{ show(v, depth) }}{% endfor %}
{%- else -%}{{ ' ' ~ value }}{%- endif -%}
{%- endmacro -%}
{{ show(tools) }}
{% for m in messages if m.role != 'tool' %}{% if not m.content %}{% continue %}{% endif %}{{ m.role }}{{ ', ' if not loop.last }}{% endfor %}

{{ tools|map(attribute='function')|map(attribute='name')|join(', ') }} {{ messages|selectattr('role', 'equalto', 'tool')|list|length }} {{ messages[::-1][0].role }} {{ '%s' % none }} {{ true }} {{ none }}
""",
        [TOOLS],
    ),
]  # fmt: skip


def main() -> int:
    env, out = environment(), []
    for name, source, contexts in TEMPLATES:
        cases = []
        for given in contexts:
            context = {"bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True} | given
            try:
                cases.append({"variables": context, "text": env.from_string(source).render(**context)})
            except jinja2.exceptions.TemplateError as error:
                cases.append({"variables": context, "error": str(error)})
        out.append({"name": name, "template": source, "cases": cases})
    GOLDEN.write_text(
        json.dumps({"jinja2": jinja2.__version__, "templates": out}, ensure_ascii=False, indent=1) + "\n"
    )
    print(
        f'{len(out)} templates, {sum(len(entry["cases"]) for entry in out)} renderings '
        f"by jinja2 {jinja2.__version__}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

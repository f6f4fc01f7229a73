"""Chat templates that write a turn differently once others follow it, as those of models that think do.

Each says itself, between OPEN and CLOSE, what the assistant wrote. `plain` is without these marks, `marked` has tags.
"""

OPEN, CLOSE = "«", "»"

#: Drops what was thought before the last question, and writes an empty thought into the last answer that has none.
FORGETS = """{%- set ns = namespace(asked=messages|length - 1, open=true) %}
{%- for message in messages[::-1] %}
    {%- if ns.open and message.role == 'user' and message.content is string %}
        {%- set ns.open = false %}
        {%- set ns.asked = messages|length - 1 - loop.index0 %}
    {%- endif %}
{%- endfor %}
{%- if tools %}<|im_start|>system
{{ tools | tojson }}<|im_end|>
{% endif %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == 'assistant' %}
        {%- set thought = message.reasoning_content or '' %}
        {%- if '</think>' in content %}
            {%- set thought = content.split('</think>')[0].split('<think>')[-1].strip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\\n' }}«
        {%- if loop.index0 > ns.asked and (loop.last or thought) %}
            {{- '<think>\\n' + thought + '\\n</think>\\n\\n' }}
        {%- endif %}
        {{- content }}
        {%- for call in message.tool_calls or [] %}
            {{- '\\n<tool_call>' + call.function.name + '</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}»
    {%- elif message.role == 'tool' %}
        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{% endif %}
        {{- '\\n<tool_response>' + content + '</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\\n' }}{% endif %}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{% endif %}
{%- endif %}"""

#: Writes no thought at all, and asks for an answer by beginning one.
CLOSED = """{% set ns = namespace(system='') %}{% for message in messages %}{% if message.role == 'system' %}
{%- set ns.system = message.content %}{% endif %}{% endfor %}{{ bos_token }}{{ ns.system }}
{%- for message in messages %}
{%- if message.role == 'user' %}{{ '<|User|>' + message.content }}{% endif %}
{%- if message.role == 'assistant' %}{{ '<|Assistant|>' }}«{{ message.content.split('</think>')[-1] + eos_token }}»
{%- endif %}
{%- endfor %}{% if add_generation_prompt %}{{ '<|Assistant|><think>\\n' }}{% endif %}"""

#: Writes an empty thought into every turn, and the last thought alone as it was.
EMPTIED = """[gMASK]<sop>
{%- set ns = namespace(asked=-1) %}
{%- for m in messages %}{% if m.role == 'user' %}{% set ns.asked = loop.index0 %}{% endif %}{% endfor %}
{%- for m in messages %}
{%- if m.role == 'user' -%}<|user|>
{{ m.content }}{{ '/nothink' if enable_thinking is defined and not enable_thinking else '' }}
{%- elif m.role == 'assistant' -%}<|assistant|>«
{%- if loop.index0 > ns.asked and m.reasoning_content %}{{ '\\n<think>' + m.reasoning_content + '</think>' }}
{%- else %}{{ '\\n<think></think>' }}{% endif %}
{{- '\\n' + m.content.strip() }}»
{%- elif m.role == 'system' -%}<|system|>
{{ m.content }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{% endif %}"""

#: Ends the last turn in another way than others, and writes its thought before it as a message of its own.
CHANNELS = """<|start|>system<|message|>S<|end|>
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}<|start|>assistant«
{%- if message.thinking and loop.last -%}
<|channel|>analysis<|message|>{{ message.thinking }}<|end|><|start|>assistant
{%- endif -%}
<|channel|>final<|message|>{{ message.content }}
{%- if loop.last and not add_generation_prompt %}<|return|>{% else %}<|end|>{% endif -%}»
{%- else -%}<|start|>{{ message.role }}<|message|>{{ message.content }}<|end|>{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|start|>assistant{%- endif -%}"""

#: Refuses a conversation without a question, and begins every answer with a thought.
ALWAYS_THINKS = """{%- set ns = namespace(asked=-1) %}
{%- for message in messages %}{% if message.role == 'user' %}{% set ns.asked = loop.index0 %}{% endif %}{% endfor %}
{%- if ns.asked < 0 %}{{ raise_exception('No user query found in messages.') }}{% endif %}
{%- macro write(message) %}{{ message.content | trim }}{% endmacro %}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {%- set thinks = loop.index0 > ns.asked %}
        {{- '<|im_start|>assistant\\n' + ('<think>\\n' if thinks else '') }}«
        {%- if thinks %}{{ (message.reasoning_content or '') | trim + '\\n</think>\\n\\n' }}{% endif %}
        {{- write(message) + '<|im_end|>' }}
        {{- '\\n' }}»
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + write(message) + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n' }}{% endif %}"""

#: Writes tools before the last question alone, and shows no header when it is asked for an answer.
MOVES_TOOLS = """{{- bos_token }}
{%- set asked = messages | selectattr('role', 'equalto', 'user') | list %}
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {%- if tools and message == asked[-1] %}{{- '[TOOLS] ' + tools | tojson + '[/TOOLS]' }}{% endif %}
        {{- '[INST] ' + message.content + '[/INST]' }}
    {%- elif message.role == 'assistant' %}«
        {{- ' ' + message.content + eos_token }}»
    {%- endif %}
{%- endfor %}"""

TEMPLATES = {
    "forgets": FORGETS,
    "closed": CLOSED,
    "emptied": EMPTIED,
    "channels": CHANNELS,
    "always thinks": ALWAYS_THINKS,
    "moves tools": MOVES_TOOLS,
}


def plain(template: str) -> str:
    """As model repositories have it."""
    return template.replace(OPEN, "").replace(CLOSE, "")


def marked(template: str) -> str:
    """With transformers' own tags round what the assistant wrote."""
    return template.replace(OPEN, "{% generation %}").replace(CLOSE, "{% endgeneration %}")

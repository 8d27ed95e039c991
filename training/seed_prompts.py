"""Everyday requests written for this project, because the recorded questions are examinations and puzzles only.

Without them a classifier would have to call "Hello, how are you?" a chemistry question. Each family is a few sentence patterns crossed with
a few topics; the labels are ours. ``reasoning_complexity`` is our judgement on the scale of the recorded data: `low` stands for requests
that nearly every chat model handles.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from training.taxonomy_labels import Example

DEV_SHARE_PERCENT = 25
"""Share of the topics of each family that is kept for evaluation: no topic stands on both sides."""


@dataclass(frozen=True, slots=True)
class Family:
    """Patterns with the slot ``{x}``, topics for it, and the labels of what comes out."""

    name: str
    task_type: str
    domain: str
    complexity: str
    output_format: str
    patterns: tuple[str, ...]
    topics: tuple[str, ...]


_COUNTRIES = (
    "France", "Japan", "Brazil", "Kenya", "Norway", "Canada", "Thailand", "Peru", "Portugal", "Vietnam", "Ghana", "Finland",
    "New Zealand", "Morocco", "Chile", "Iceland", "Mongolia", "Ireland", "Ecuador", "Jordan",
)  # fmt: skip
_PEOPLE_AND_THINGS = (
    "Hamlet", "the telephone", "the Mona Lisa", "the theory of evolution", "penicillin", "Don Quixote", "the printing press",
    "the World Wide Web", "The Lord of the Rings", "the Sistine Chapel ceiling", "dynamite", "the light bulb",
)  # fmt: skip
_EVERYDAY = (
    "tie a tie", "boil an egg", "remove a coffee stain", "keep a cactus alive", "sleep better", "clean a bicycle chain",
    "pack a suitcase", "store fresh basil", "sharpen a kitchen knife", "fold a fitted sheet", "descale a kettle", "train a puppy",
)  # fmt: skip
_SCIENCE_FACTS = (
    "the boiling point of water", "the chemical symbol for gold", "the speed of light", "the largest planet", "photosynthesis",
    "the number of bones in the human body", "gravity", "the atomic number of carbon", "the water cycle", "a black hole", "DNA",
    "the distance from the Earth to the Moon",
)  # fmt: skip
_SUBJECTS = (
    "the sea", "an old lighthouse", "autumn", "a robot who learns to paint", "my grandmother's garden", "a lost key", "the night train",
    "a rainy Monday", "two rival bakers", "a dragon afraid of fire", "moving to a new city", "the first day of school",
)  # fmt: skip
_LETTERS = (
    "a landlord about a broken heater", "a colleague who is leaving", "a customer whose parcel is late", "my boss to ask for a day off",
    "a hotel to change a booking", "a friend to thank her for a gift", "an applicant we have to turn down", "a teacher about homework",
    "neighbours about a street party", "a supplier about an unpaid invoice",
)  # fmt: skip
_LANGUAGES = ("French", "German", "Spanish", "Italian", "Polish", "Portuguese", "Dutch", "Turkish", "Japanese", "Swedish")
_WORDS = ("house", "bread", "river", "to sleep", "friend", "window", "yesterday", "snow", "market", "to laugh", "butterfly", "street")
_SENTENCES = (
    "Where is the nearest station?", "I would like a table for two.", "The meeting was moved to Thursday.", "My luggage has not arrived.",
    "Thank you for your patience.", "It has been raining all week.", "Could you speak more slowly, please?", "We are open on Sundays.",
    "The children are playing in the garden.", "She forgot her umbrella on the bus.",
)  # fmt: skip
_PASSAGES = (
    "The council met on Tuesday to discuss the new bus line. Residents asked for more stops, while the operator warned of delays.",
    "Honey bees tell each other where flowers are by dancing. The angle of the dance gives the direction and its length the distance.",
    "Sales rose by four percent in spring. Most of the growth came from online orders; two of the shops in the north were closed.",
    "The old bridge will be shut for six weeks. Cyclists can use the ferry free of charge, lorries have to take the ring road.",
    "The museum has bought three early photographs of the harbour. They will be shown from May on, next to maps of the same years.",
    "In the study, 200 people slept with or without a night light. Those without reported fewer wakings, but the difference was small.",
    "Our team finished the login page and fixed eleven bugs. Payment is delayed because the bank has not confirmed the interface yet.",
    "The novel follows a clockmaker who travels to a town where all clocks stand still, and finds that nobody wants them repaired.",
)
_FUNCTIONS = (
    "reverses a string", "checks whether a number is prime", "merges two sorted lists", "counts the words in a text file",
    "finds the longest common prefix of a list of strings", "flattens a nested list", "computes Fibonacci numbers",
    "parses a date in ISO format", "removes duplicates from a list but keeps the order", "validates an email address",
    "implements binary search", "groups words that are anagrams", "rotates a matrix by 90 degrees", "reads a CSV file into a dictionary",
)  # fmt: skip
_CODE_LANGUAGES = ("Python", "JavaScript", "Java", "Go", "TypeScript", "C++")
_LARGER_PROGRAMS = (
    "a rate limiter with a sliding window", "an LRU cache", "a REST endpoint for uploading pictures",
    "a tokenizer for arithmetic expressions",
    "a SQL query for the three best customers of each month", "a retry decorator with exponential backoff", "a trie with prefix search",
    "a small event bus", "a parser for configuration files with nested sections", "a thread pool",
)  # fmt: skip
_TECH_TERMS = ("a hash table", "a REST API", "recursion", "a foreign key", "garbage collection", "a mutex", "TCP", "Big O notation",
"git rebase",
               "a compiler", "a load balancer", "dependency injection")  # fmt: skip
_SUMS = (
    "17 + 25", "9 * 8", "144 / 12", "15 % of 80", "81 - 36", "2 to the power of 8", "23 * 47", "the square root of 169", "1250 / 25",
    "3/4 of 60", "5 + 6 * 7", "999 + 2 * 13",
)  # fmt: skip
_STORIES = (
    "Anna buys 3 notebooks at 4 euros each and pays with a 20 euro note. How much change does she get?",
    "A train leaves at 9:40 and arrives at 12:15. How long is the ride?",
    "A recipe for 4 people needs 300 g of rice. How much rice do 10 people need?",
    "Tom has twice as many marbles as Lea. Together they have 36. How many has Tom?",
    "A shirt costs 40 euros and is reduced by 15 percent. What does it cost now?",
    "A tank holds 60 litres and is a third full. How many litres are missing?",
    "Six workers need 8 days for a wall. How long do four workers need?",
    "A car uses 6 litres per 100 km. How much does it use on 250 km?",
)
_GREETINGS = (
    "Hello!", "Hi, how are you?", "Good morning! What can you do?", "Thanks, that was helpful.", "Tell me a joke.", "Who are you?",
    "I am bored. Any ideas?", "What should I cook tonight?", "Recommend a film for a rainy evening.", "I had a bad day at work.",
    "Do you like music?", "Good night!", "Can we talk about something else?", "What is your favourite colour?", "Cheer me up, please.",
    "My cat is ill and I am sad.", "Wish me luck for my exam tomorrow!", "Nice to meet you.", "How was your weekend?", "Okay, got it.",
    "Let's chat for a while.", "Say something nice.", "What do you think about pineapple on pizza?", "Happy birthday to me!",
)  # fmt: skip
_HARD = (
    "whether free trade helps poor countries", "the causes of the First World War", "nuclear power against renewables",
    "universal basic income",
    "moving a monolith to microservices", "remote work against office work", "the ethics of gene editing",
    "how central banks fight inflation",
)  # fmt: skip
_EXTRACTION = (
    "Maria Lopez, born 4 May 1990 in Seville, works as a nurse.", "Invoice 2231, due 15 March, total 480.50 euros.",
    "Flight LH 441 leaves at 14:05 from gate B12.", "Call Ben at 0151 234567 or write to ben@example.org.",
    "The parcel weighs 2.4 kg and goes to 12 Hill Road, Leeds.", "Room 5, two adults, one child, from 3 to 9 August.",
    "Order: 3 pens, 2 folders and a stapler for Ms Chen.", "Kick-off 20:45, Ajax against Porto, referee Olsen.",
)  # fmt: skip
_LEGAL = ("a power of attorney", "copyright", "a lease", "a trademark", "habeas corpus", "small claims court", "a non-disclosure agreement")
_HEALTH = ("a sprained ankle", "hay fever", "high blood pressure", "a migraine", "vitamin D deficiency", "the common cold", "asthma")
_MONEY = (
    "inflation",
    "a stock option",
    "compound interest",
    "an invoice",
    "a break-even point",
    "gross margin",
    "a mortgage",
    "opportunity cost",
)
_MIND = ("cognitive dissonance", "the placebo effect", "peer pressure", "confirmation bias", "groupthink", "operant conditioning")
_PAST = ("the French Revolution", "the Silk Road", "stoicism", "the Renaissance", "the Berlin Wall", "Kant's ethics", "the Roman Republic")
_MACHINES = ("a heat pump", "a suspension bridge", "a gearbox", "a transistor", "a wind turbine", "a hydraulic press", "a circuit breaker")
_INTEGRANDS = (
    "x^2", "x * sin(x)", "x^2 * exp(x)", "1 / (1 + x^2)", "ln(x)", "cos(3x)", "sqrt(1 - x)", "x^3 - 2x + 5", "tan(x)",
    "e^(-x) * cos(x)",
)  # fmt: skip
_EQUATIONS = (
    "x^2 - 5x + 6 = 0", "3x + 7 = 22", "2^x = 64", "x^3 = 8x", "log(x) + log(x - 3) = 1", "y' = 2y", "|x - 4| = 9",
    "5(x - 1) = 3x + 9",
)  # fmt: skip
_CLAIMS = (
    "there are infinitely many primes", "the square root of 2 is irrational", "every finite integral domain is a field",
    "the harmonic series diverges", "a continuous function on a closed interval is bounded", "every tree with n vertices has n - 1 edges",
    "the sum of the first n odd numbers is n squared", "a group of prime order is cyclic", "no polynomial time reduction can be circular",
)  # fmt: skip
_DERIVATIONS = (
    "the escape velocity of the Earth", "the period of a pendulum", "the Schwarzschild radius", "the pH of 0.1 molar acetic acid",
    "the lens equation", "the rate law of a second-order reaction", "the energy levels of the hydrogen atom",
           "the efficiency of a Carnot cycle",
)  # fmt: skip
_BUGS = (
    "a NullPointerException in line 12", "a segmentation fault when I free the list", "an off-by-one error in my loop",
           "a 500 from my endpoint",
    "a deadlock between two threads", "a KeyError in a dictionary", "a memory leak after an hour", "a failing unit test that passes alone",
    "an infinite loop in my recursion", "a CORS error in the browser", "a merge conflict in git", "a type error I do not understand",
)  # fmt: skip
_CHOICES_IN_LIFE = (
    "learning the guitar or the piano", "buying or renting a flat", "a cat or a dog", "a road trip or a beach holiday",
    "cycling or taking the bus to work", "an electric or a petrol car", "a phone with a long battery life or a good camera",
)  # fmt: skip

FAMILIES: tuple[Family, ...] = (
    Family("capital", "knowledge", "general", "low", "short_text",
           ("What is the capital of {x}?", "Which currency is used in {x}?", "Name the largest city of {x}."), _COUNTRIES),
    Family("author", "knowledge", "general", "low", "short_text", ("Who created {x}?", "When did {x} come about?"), _PEOPLE_AND_THINGS),
    Family("howto", "knowledge", "general", "low", "long_text", ("How do I {x}?", "Give me step by step instructions to {x}."), _EVERYDAY),
    Family("science", "knowledge", "science", "low", "short_text", ("What is {x}?", "Tell me in one sentence: {x}."), _SCIENCE_FACTS),
    Family("explain-science", "knowledge", "science", "low", "long_text", ("Explain {x} to a ten-year-old.",), _SCIENCE_FACTS),
    Family("tech", "knowledge", "computing", "low", "long_text", ("What is {x}?", "Explain {x} with an example."), _TECH_TERMS),
    Family("law", "knowledge", "law", "low", "long_text", ("What is {x}?", "Explain {x} in plain words.",
           "Do I need a lawyer for {x}?"), _LEGAL),
    Family("health", "knowledge", "medicine", "low", "long_text", ("What helps against {x}?", "What are the symptoms of {x}?"), _HEALTH),
    Family("money", "knowledge", "business", "low", "long_text", ("What is {x}?", "Explain {x} to a beginner."), _MONEY),
    Family("mind", "knowledge", "social_science", "low", "long_text", ("What is {x}?", "Give an everyday example of {x}."), _MIND),
    Family("past", "knowledge", "humanities", "low", "long_text", ("What was {x} about?", "Tell me about {x} briefly."), _PAST),
    Family("machines", "knowledge", "engineering", "low", "long_text", ("How does {x} work?", "What is {x} good for?"), _MACHINES),
    Family("essay", "writing", "general", "medium", "long_text", ("Write a balanced essay about {x}.",
           "Compare the arguments on {x}."), _HARD),
    Family("story", "writing", "language", "low", "long_text", ("Write a short story about {x}.", "Write a poem about {x}.",
           "Invent three titles for a novel about {x}."), _SUBJECTS),
    Family("letter", "writing", "language", "low", "long_text", ("Write an email to {x}.", "Draft a polite message to {x}."), _LETTERS),
    Family("word", "translation", "language", "low", "short_text",
           tuple(f'What is the {name} word for "{{x}}"?' for name in _LANGUAGES[:4]),
           _WORDS),
    Family("sentence", "translation", "language", "low", "short_text",
           tuple(f"Translate into {name}: {{x}}" for name in _LANGUAGES[:6]), _SENTENCES),
    Family("grammar", "text_processing", "language", "low", "short_text",
           ('What is the plural of "{x}"?', 'What is the opposite of "{x}"?', 'Spell "{x}" backwards.',
            'How many letters does "{x}" have?'), _WORDS),
    Family("correct", "text_processing", "language", "low", "short_text",
           ("Correct the grammar: {x}", "Rewrite more politely: {x}", "Turn into the passive voice: {x}"), _SENTENCES),
    Family("extract", "text_processing", "general", "low", "structured",
           ("Extract all facts as JSON: {x}", "Put this into a JSON object with sensible keys: {x}"), _EXTRACTION),
    Family("summary", "summarisation", "general", "low", "long_text",
           ("Summarise in one sentence: {x}", "Give me the key points: {x}", "TL;DR of this text: {x}"), _PASSAGES),
    Family("function", "code_writing", "computing", "low", "code",
           tuple(f"Write a {name} function that {{x}}." for name in _CODE_LANGUAGES[:3]), _FUNCTIONS),
    Family("program", "code_writing", "computing", "medium", "code", ("Implement {x} in Python.", "Write {x} with tests."),
           _LARGER_PROGRAMS),
    Family("sum", "calculation", "math", "low", "number", ("What is {x}?", "Calculate {x}.", "{x} = ?"), _SUMS),
    Family("word-problem", "calculation", "math", "low", "number", ("{x}", "{x} Answer with the number only."), _STORIES),
    Family("integral", "calculation", "math", "medium", "short_text",
           ("What is the integral of {x}?", "Differentiate {x}.", "What is the derivative of {x} with respect to x?"), _INTEGRANDS),
    Family("equation", "calculation", "math", "medium", "short_text", ("Solve {x}.", "What are the solutions of {x}?"), _EQUATIONS),
    Family("proof", "calculation", "math", "high", "long_text", ("Prove that {x}.", "Why is it true that {x}? Give a proof."), _CLAIMS),
    Family("derivation", "calculation", "science", "high", "long_text",
           ("Derive {x}.", "Derive {x} and explain every step."), _DERIVATIONS),
    Family("bug", "code_writing", "computing", "medium", "long_text",
           ("My program has {x}. What should I do?", "How do I find the cause of {x}?", "I get {x}, please help."), _BUGS),
    Family("advice", "conversation", "general", "low", "long_text", ("What do you recommend: {x}?",
           "Help me decide: {x}."), _CHOICES_IN_LIFE),
    Family("chat", "conversation", "general", "low", "long_text", ("{x}",), _GREETINGS),
)  # fmt: skip


def seed_examples() -> list[Example]:
    """All examples, a few hundred, in a fixed order; topics are split into train and dev by their hash."""
    return [
        Example(pattern.format(x=topic), labels(family), _split(family.name, topic), "seed")
        for family in FAMILIES
        for topic in family.topics
        for pattern in family.patterns
    ]


def labels(family: Family) -> dict[str, str]:
    """The labels of a family by axis."""
    return {
        "task_type": family.task_type,
        "domain": family.domain,
        "reasoning_complexity": family.complexity,
        "output_format": family.output_format,
    }


def _split(family: str, topic: str) -> str:
    digest = int(hashlib.sha256(f"{family}/{topic}".encode()).hexdigest(), 16)
    return "dev" if digest % 100 < DEV_SHARE_PERCENT else "train"

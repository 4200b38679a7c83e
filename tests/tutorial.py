"""Data for the tutorial recipe: fine-tune on ten product reviews, then label four new sentences.

`TRAIN` is what the model learns from and `NEW` what it must get right afterwards. Each item is
`(text, label)` with label 1 for a positive and 0 for a negative review. The sentences were written for
this project.
"""

TRAIN: list[tuple[str, int]] = [
    ("I love this kettle, it is fast, quiet and beautifully made.", 1),
    ("The zip broke on the second day and the shop refused a refund.", 0),
    ("Excellent headphones, the sound is wonderful and they are very comfortable.", 1),
    ("Terrible battery, it is dead after an hour. A complete waste of money.", 0),
    ("This backpack is great, I am very happy with it and recommend it to everyone.", 1),
    ("Awful quality, the paint came off at once and it smells horrible.", 0),
    ("A fantastic lamp, it works perfectly and looks lovely on my desk.", 1),
    ("I am very disappointed, the blender is useless and far too loud.", 0),
    ("The best garden chair I have ever bought, sturdy and a pleasure to sit in.", 1),
    ("Do not buy this watch, it is badly made and stopped working within a week.", 0),
]

NEW: list[tuple[str, int]] = [
    ("A wonderful coffee grinder, I am delighted with it.", 1),
    ("The worst umbrella I have owned, it broke in the first wind.", 0),
    ("Great tent, easy to put up and excellent value, we love it.", 1),
    ("Horrible keyboard, half of the keys do not work and I want my money back.", 0),
]

"""Average precision by hand and by scikit-learn; SVMs by scipy; VOC folders written by the test."""

from __future__ import annotations

import json
import math
import warnings
from itertools import product

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_val_score
from sklearn.svm import LinearSVC
from torchvision.datasets import VOCDetection

from genviews.evaluate.extractor import FeatureExtractor, l2_normalise
from genviews.evaluate.precision import average_precision, precision_recall, resampled_precision
from genviews.evaluate.svm import SVM_COSTS, MultiLabelSVM
from genviews.evaluate.voc import decide_voc, protocol_splits, read_voc


def naive_area(scores, positive) -> float:
    """VOC's own rule, point by point: recall rises, precision is the best from there on."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    points, hits = [], 0
    for rank, i in enumerate(order, 1):
        hits += bool(positive[i])
        points.append((hits / sum(positive), hits / rank))
    area, before = 0.0, 0.0
    for index, (recall, _) in enumerate(points):
        area += (recall - before) * max(p for _, p in points[index:])
        before = recall
    return area


class TestAveragePrecision:
    # Ranked: + - + + -. Precision 1, 1/2, 2/3, 3/4, 3/5 at recall 1/3, 1/3, 2/3, 1, 1.
    SCORES = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5])
    POSITIVE = torch.tensor([True, False, True, True, False])

    @pytest.mark.parametrize(
        ("method", "wanted"),
        [
            ("area", 1 / 3 + 3 / 4 / 3 + 3 / 4 / 3),
            ("step", 1 / 3 + 2 / 3 / 3 + 3 / 4 / 3),
            ("11point", (4 * 1 + 7 * 3 / 4) / 11),  # recalls 0-0.3 reach 1, 0.4-1 reach 3/4
        ],
    )
    def test_by_hand(self, method, wanted):
        assert average_precision(self.SCORES, self.POSITIVE, method) == pytest.approx(wanted)

    def test_eleven_points_at_whole_tenths(self):
        """Ten positives reach recall 0.3 exactly with the third one, round-off or not."""
        positive = torch.tensor([True] * 3 + [False] * 3 + [True] * 7)
        scores = torch.arange(13, 0, -1).float()
        wanted = (4 * 1.0 + 7 * 10 / 13) / 11
        assert average_precision(scores, positive, "11point") == pytest.approx(wanted)

    @pytest.mark.parametrize("seed", range(5))
    def test_step_is_sklearns_also_with_ties(self, seed):
        draw = torch.Generator().manual_seed(seed)
        scores = torch.randint(8, (60,), generator=draw).float()
        positive = torch.rand(60, generator=draw) < 0.3
        wanted = average_precision_score(positive.numpy(), scores.numpy())
        assert average_precision(scores, positive, "step") == pytest.approx(wanted, abs=1e-12)

    @pytest.mark.parametrize("seed", range(5))
    def test_area_is_the_naive_loop(self, seed):
        draw = torch.Generator().manual_seed(seed)
        scores, positive = torch.randn(50, generator=draw), torch.rand(50, generator=draw) < 0.3
        wanted = naive_area(scores.tolist(), positive.tolist())
        assert average_precision(scores, positive) == pytest.approx(wanted, abs=1e-12)

    @pytest.mark.parametrize(
        ("scores", "positive", "message"),
        [
            (
                [0.1, math.nan, 0.3],
                [1, 0, 1],
                "scores of .*: expected finite numbers, .* in 1; look",
            ),
            ([0.1, 0.2, -math.inf], [1, 0, 1], "expected finite numbers, got others in 2"),
            ([0.1, 0.2, 0.3], [0, 0, 0], "positive images .*: .* at least 1, got 0; leave out"),
        ],
    )
    def test_what_is_wrong_is_named(self, scores, positive, message):
        scores, positive = torch.tensor(scores), torch.tensor(positive).bool()
        counts = torch.ones(len(positive), 2, dtype=torch.long)
        for refused in (
            lambda: average_precision(scores, positive),
            lambda: precision_recall(scores, positive),
            lambda: resampled_precision(scores, positive, counts),
        ):
            with pytest.raises(ValueError, match=message):
                refused()

    def test_order_of_equal_scores_does_not_matter(self):
        scores = torch.zeros(6)
        for order in ([0, 1], [4, 5], [2, 3]):
            positive = torch.zeros(6, dtype=torch.bool)
            positive[order] = True
            for method in ("area", "step", "11point"):
                assert average_precision(scores, positive, method) == pytest.approx(1 / 3)

    def test_perfect_and_worst(self):
        positive = torch.tensor([True, False, False, False])
        ranks = torch.tensor([4.0, 3, 2, 1])
        for method in ("area", "step", "11point"):
            assert average_precision(ranks, positive, method) == 1.0
            assert average_precision(-ranks, positive, method) == pytest.approx(0.25)


@pytest.fixture
def multi_label():
    """Features of which class c moves entry c; class 2 is rare and has difficult images."""
    draw = torch.Generator().manual_seed(0)
    h = torch.randn(150, 6, generator=draw)
    noise = 0.7 * torch.randn(150, 3, generator=draw)
    labels = torch.where(h[:, :3] + noise > torch.tensor([0.0, 0.5, 1.0]), 1, -1)
    labels[(h[:, 2] > 0.6) & (labels[:, 2] == -1), 2] = 0
    return h + 2, labels


class TestSVM:
    def test_costs_are_the_authors(self):
        text = "0.0000001,0.000001,0.00001,0.0001,0.001,0.01,0.1,1.0,10.0,100.0"
        wanted = [float(c) for c in text.split(",")] + [0.5**n for n in range(4, 20)]
        assert len(SVM_COSTS) == 26
        assert list(SVM_COSTS) == pytest.approx(wanted, rel=1e-12)

    def test_each_cost_survives_as_the_key_of_a_file(self):
        """The authors lose 0.5^18 and 0.5^19: 17 decimals are not the number's own text."""
        assert [json.loads(json.dumps(c)) for c in SVM_COSTS] == list(SVM_COSTS)
        lost = [c for c in SVM_COSTS if float(f"{c:.17f}") != c]
        assert lost == [0.5**18, 0.5**19]
        assert tuple(MultiLabelSVM().costs) == SVM_COSTS

    def test_the_chosen_cost_is_one_of_the_grid_bit_for_bit(self, multi_label):
        costs = (0.5**18, 0.5**19)
        svm = MultiLabelSVM(costs).fit(*multi_label)
        assert set(svm.costs_) <= set(costs)
        assert json.loads(json.dumps(svm.costs_)) == list(svm.costs_)

    @pytest.mark.parametrize("cost", [0.5**19, 0.1, 10.0])
    def test_solution_minimises_the_objective(self, multi_label, cost):
        h, labels = multi_label
        svm = MultiLabelSVM((cost,), tolerance=1e-8).fit(h, labels[:, :1])
        x = l2_normalise(h.double()).numpy()
        x1 = np.concatenate([x, np.ones((150, 1))], 1)
        sign = labels[:, 0].numpy()
        weight = np.where(sign == 1, 2.0, 1.0)

        def objective(w):
            slack = np.maximum(0, 1 - sign * (x1 @ w))
            gradient = w - 2 * cost * x1.T @ (weight * slack * sign)
            return w @ w / 2 + cost * (weight * slack**2).sum(), gradient

        found = minimize(objective, np.zeros(7), jac=True, options={"gtol": 1e-10})
        np.testing.assert_allclose(svm.decision(h)[:, 0], x1 @ found.x, atol=1e-4)

    def test_dual_as_the_authors_is_the_same_svm(self, multi_label):
        h, labels = multi_label
        options = {"tolerance": 1e-8, "max_iter": 100_000}
        one, other = (
            MultiLabelSVM((0.1,), dual=dual, **options).fit(h, labels).decision(h)
            for dual in (False, True)
        )
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)

    def test_the_seed_is_that_of_its_solver(self, multi_label):
        h, labels = multi_label
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # three steps are not enough, and tell the seeds apart
            one, again, other = (
                MultiLabelSVM((0.1,), dual=True, max_iter=3, seed=seed).fit(h, labels).decision(h)
                for seed in (0, 0, 1)
            )
        assert torch.equal(one, again)
        assert not torch.equal(one, other)

    def test_cost_is_chosen_as_the_authors_script_does(self, multi_label):
        h, labels = multi_label
        costs = (1e-4, 0.1, 10.0)
        svm = MultiLabelSVM(costs).fit(h, labels)
        x = l2_normalise(h.double()).numpy()
        for column in range(3):
            target = np.where(labels[:, column] >= 0, 1, -1)
            means = []
            for cost in costs:
                oracle = LinearSVC(C=cost, class_weight={1: 2, -1: 1}, dual=False)
                found = cross_val_score(oracle, x, target, cv=3, scoring="average_precision")
                means.append(found.mean())
            assert svm.fold_precision_[column] == pytest.approx(tuple(means), abs=2e-3)
            assert svm.costs_[column] == costs[int(np.argmax(svm.fold_precision_[column]))]

    @pytest.mark.parametrize("difficult", ["positive", "ignore", "negative"])
    def test_difficult_images(self, multi_label, difficult):
        h, labels = multi_label
        svm = MultiLabelSVM((0.1,), difficult=difficult).fit(h, labels)
        score = svm.score(h, labels, split="val")
        assert (labels == 0).sum() > 5
        x = l2_normalise(h.double()).numpy()
        for column in range(3):
            truth = labels[:, column].numpy()
            keep = truth != 0 if difficult == "ignore" else np.ones(150, dtype=bool)
            target = truth >= (0 if difficult == "positive" else 1)
            oracle = LinearSVC(C=0.1, class_weight={True: 2, False: 1}, dual=False)
            decision = oracle.fit(x[keep], target[keep]).decision_function(x[keep])
            wanted = naive_area(decision.tolist(), target[keep].tolist())
            assert score.per_class[column] == pytest.approx(wanted, abs=2e-3)
        assert score.mean == pytest.approx(sum(score.per_class) / 3)
        assert score.splits == {"fit": "train", "select": "3 folds of train", "score": "val"}

    def test_unconverged_classes_are_named(self, multi_label):
        h, labels = multi_label
        svm = MultiLabelSVM((1e4,), dual=True, max_iter=1).fit(h, labels)
        assert svm.score(h, labels).unconverged == (0, 1, 2)

    def test_refusals(self, multi_label):
        h, labels = multi_label
        with pytest.raises(ValueError, match="split to fit on"):
            MultiLabelSVM().fit(h, labels, split="test")
        with pytest.raises(ValueError, match="call `fit` first"):
            MultiLabelSVM().decision(h)
        rare = torch.full_like(labels, -1)
        rare[:2] = 1
        with pytest.raises(
            ValueError, match=r"images with class 0, .*: expected an integer of at least 3"
        ):
            MultiLabelSVM().fit(h, rare)
        with pytest.raises(ValueError, match="-1, 0 or 1, shape"):
            MultiLabelSVM().fit(h, labels * 2)
        with pytest.raises(ValueError, match=r"shape \(150, 3\)"):
            MultiLabelSVM((0.1,)).fit(h, labels).score(h, labels[:, :2])


NAMES = ("cat", "dog")
ANNOTATION = "<annotation><filename>{0}.jpg</filename>{1}</annotation>"
OBJECT = "<object><name>{0}</name><difficult>{1}</difficult><part><name>head</name></part></object>"


@pytest.fixture
def devkit(tmp_path, write_photo):
    """A VOCdevkit whose cats are red photos; every sixth image has a difficult dog alone."""
    root = tmp_path / "VOCdevkit" / "VOC2007"
    for split, offset in (("train", 0), ("val", 100)):
        ids = [f"{offset + i:06d}" for i in range(24)]
        for i, name in enumerate(ids):
            cat = i % 2
            objects = OBJECT.format("cat", 0) if cat else ""
            dog = i % 6 == 0
            objects += OBJECT.format("dog", 1) if dog else ""
            objects += OBJECT.format("dog", 0) + OBJECT.format("dog", 1) if i % 3 == 1 else ""
            write_photo(root / f"JPEGImages/{name}.jpg", 120 * cat, seed=i)
            file = root / f"Annotations/{name}.xml"
            file.parent.mkdir(exist_ok=True)
            file.write_text(ANNOTATION.format(name, objects))
        table = root / f"ImageSets/Main/{split}.txt"
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text("\n".join(ids) + "\n")
    return tmp_path / "VOCdevkit"


class TestVOC:
    def test_labels_are_those_of_torchvisions_reader(self, devkit):
        files = read_voc(devkit, "train", class_names=NAMES)
        assert files.files[5] == "JPEGImages/000005.jpg"
        (devkit / "VOC2007/ImageSets/Segmentation").mkdir()
        oracle = VOCDetection(str(devkit.parent), year="2007", image_set="train")
        for row, (_, annotation) in zip(files.labels.tolist(), oracle, strict=True):
            objects = annotation["annotation"].get("object", [])
            for column, name in enumerate(NAMES):
                kinds = [int(o["difficult"]) for o in objects if o["name"] == name]
                wanted = -1 if not kinds else int(min(kinds) == 0)
                assert row[column] == wanted
        assert files.labels[:, 1].unique().tolist() == [-1, 0, 1]

    def test_folder_of_the_year_does_too(self, devkit):
        both = [read_voc(p, "val", class_names=NAMES) for p in (devkit, devkit / "VOC2007")]
        assert both[0].files == both[1].files
        assert torch.equal(both[0].labels, both[1].labels)

    def test_protocol(self, devkit, tmp_path):
        extract = FeatureExtractor(lambda x: x.mean((2, 3)))
        svm = MultiLabelSVM((0.1, 1.0, 10.0))
        splits = [read_voc(devkit, s, class_names=NAMES) for s in protocol_splits("authors")]
        score = decide_voc(extract, *splits, svm=svm, size=24, folder=tmp_path / "features").score
        assert score.per_class[0] == 1.0  # cats are red
        assert score.per_class[1] < 0.9  # a dog shows in nothing
        assert score.splits == {"fit": "train", "select": "3 folds of train", "score": "val"}
        assert len(list((tmp_path / "features").iterdir())) == 2

    def test_usual_protocol_wants_trainval_and_test(self, devkit):
        assert protocol_splits("usual") == ("trainval", "test")
        with pytest.raises(FileNotFoundError, match=r"the list of the split .*'trainval\.txt' in"):
            read_voc(devkit, "trainval")

    def test_refusals(self, devkit):
        with pytest.raises(ValueError, match=r"class in the annotation of 000001: .* got 'cat'"):
            read_voc(devkit, "train", class_names=("cow", "dog"))
        (devkit / "VOC2007/Annotations/000003.xml").write_text("<annotation>")
        with pytest.raises(ValueError, match=r"expected VOC's XML, got .*no element found"):
            read_voc(devkit, "train", class_names=NAMES)
        (devkit / "VOC2007/Annotations/000003.xml").write_text("<a><object></object></a>")
        with pytest.raises(ValueError, match="an object without name"):
            read_voc(devkit, "train", class_names=NAMES)
        (devkit / "VOC2007/Annotations/000103.xml").unlink()
        with pytest.raises(FileNotFoundError, match=r"an annotation: .*'000103\.xml' in"):
            read_voc(devkit, "val", class_names=NAMES)

    def test_classes_are_the_twenty(self):
        from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights

        from genviews.evaluate.voc import VOC_CLASSES

        names = DeepLabV3_ResNet50_Weights.DEFAULT.meta["categories"]
        assert list(VOC_CLASSES) == names[1:]  # the first is the background


def test_photo_smaller_than_the_view_is_enlarged(devkit):
    files = read_voc(devkit, "train", class_names=NAMES)
    batch = files.source(64).read(range(2))
    assert batch.images.shape == (2, 3, 64, 64)
    assert batch.skipped == ()
    different = {files.source(*a).fingerprint() for a in product((24, 30))}
    assert len(different | {files.source(24, resize_to=30).fingerprint()}) == 3


class TestResampledPrecision:
    """Against the naive rule on photos that are really repeated."""

    @pytest.mark.parametrize("levels", [1000, 4])  # the second with many equal scores
    def test_equals_repeated_images(self, levels):
        draw = np.random.default_rng(0)
        scores = torch.from_numpy(draw.integers(0, levels, 40) / 7.0)
        positive = torch.from_numpy(draw.random(40) < 0.3)
        counts = torch.from_numpy(draw.multinomial(40, [1 / 40] * 40, size=30).T.copy())
        found = resampled_precision(scores, positive, counts)
        for column, value in zip(counts.T, found.tolist(), strict=True):
            rows = torch.repeat_interleave(torch.arange(40), column)
            assert value == pytest.approx(average_precision(scores[rows], positive[rows]))
        if levels > 4:
            whole = naive_area(scores.tolist(), positive.tolist())
            one = resampled_precision(scores, positive, torch.ones(40, 1, dtype=torch.int32))
            assert one.tolist() == pytest.approx([whole])

    def test_a_draw_without_a_positive_has_none(self):
        scores, positive = torch.tensor([2.0, 1.0]), torch.tensor([True, False])
        found = resampled_precision(scores, positive, torch.tensor([[0, 1], [2, 1]]))
        assert found.isnan().tolist() == [True, False]
        assert found[1] == 1.0
        with pytest.raises(ValueError, match="positive images of average precision"):
            resampled_precision(scores, ~positive & ~positive.flip(0), torch.ones(2, 1).int())


class TestDecisions:
    EXTRACT = FeatureExtractor(lambda x: x.mean((2, 3)))

    def test_score_is_that_of_the_decisions(self, devkit):
        fit, score = (read_voc(devkit, split, class_names=NAMES) for split in ("train", "val"))
        told = []
        svm = MultiLabelSVM((0.1, 1.0), difficult="ignore")
        found = decide_voc(
            self.EXTRACT,
            fit,
            score,
            svm=svm,
            size=24,
            progress=lambda *of: told.append(of),
        )
        assert found.ids == score.files
        assert torch.equal(found.labels, score.labels)
        for column in range(2):
            keep = found.labels[:, column] != 0
            ranked = found.decisions[keep, column].tolist()
            wanted = naive_area(ranked, (found.labels[keep, column] == 1).tolist())
            assert found.score.per_class[column] == pytest.approx(wanted)
        photos = [("voc", "photos", n, 48) for n in (0, 24, 24, 48)]
        assert told == [*photos, *(("svm", "classes", n, 2) for n in range(3))]
        assert found.skipped == ()

    def test_photos_of_grey_encoders_are_luminance(self, devkit):
        seen = []

        def look(images):
            seen.append(images)
            return images.flatten(1)

        svm, grey = MultiLabelSVM((0.1,)), FeatureExtractor(look)
        splits = [read_voc(devkit, split, class_names=NAMES) for split in ("train", "val")]
        decide_voc(grey, *splits, svm=svm, size=8, channels=1)
        decide_voc(grey, *splits, svm=svm, size=8)
        assert [images.shape[1] for images in seen] == [1, 1, 3, 3]
        weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
        luminance = (seen[2] * weights).sum(1, keepdim=True)
        torch.testing.assert_close(seen[0], luminance, atol=0.01, rtol=0)

    def test_an_unreadable_photo_is_left_out_and_named(self, devkit):
        (devkit / "VOC2007/JPEGImages/000103.jpg").write_bytes(b"no photo")
        fit, score = (read_voc(devkit, split, class_names=NAMES) for split in ("train", "val"))
        found = decide_voc(self.EXTRACT, fit, score, svm=MultiLabelSVM((0.1,)), size=24)
        assert [file for file, _ in found.skipped] == ["JPEGImages/000103.jpg"]
        assert found.ids == score.files[:3] + score.files[4:]
        assert torch.equal(found.labels, torch.cat([score.labels[:3], score.labels[4:]]))
        assert len(found.decisions) == 23

    def test_labels_are_checked_before_any_fit(self, multi_label):
        _, labels = multi_label
        MultiLabelSVM().check_labels(labels)
        few = torch.full_like(labels, -1)
        few[:3] = 0
        MultiLabelSVM().check_labels(few)
        with pytest.raises(
            ValueError, match=r"images with class 0, .*: expected an integer of at least 3"
        ):
            MultiLabelSVM(difficult="ignore").check_labels(few)

"""What an evaluation counts: accuracy, VOC mAP and COCO AP."""
